/**
 * The network every daemon under test lives in:
 *
 *     container ==veth== host (daemon) ==veth== outside
 *               10.254.x         203.0.113.1  203.0.113.2 (and 198.51.100.1, reached by the default route)
 *
 * `host` and `outside` are namespaces of the test. There is no third side: no packet can leave the machine.
 */
import { makeNamespace, type Namespace } from './namespace.ts';

/** Addresses are from the documentation ranges (RFC 5737). */
export const HOST_ADDRESS = '203.0.113.1';
export const OUTSIDE_ADDRESS = '203.0.113.2';
/** A second address of the outside, beyond the default route. */
export const FAR_ADDRESS = '198.51.100.1';

export interface TestNetwork {
  readonly host: Namespace;
  readonly outside: Namespace;
  close(): Promise<void>;
}

/** Makes both namespaces and the link between them. */
export async function makeTestNetwork(): Promise<TestNetwork> {
  const [host, outside] = await Promise.all([makeNamespace(), makeNamespace()]);
  host.ip(
    `link add wt-up type veth peer name wt-out netns ${outside.pid}`,
    `address add ${HOST_ADDRESS}/24 dev wt-up`,
    'link set wt-up up',
    `route add default via ${OUTSIDE_ADDRESS}`,
  );
  outside.ip(
    `address add ${OUTSIDE_ADDRESS}/24 dev wt-out`,
    `address add ${FAR_ADDRESS}/32 dev wt-out`,
    'link set wt-out up',
  );
  return {
    host,
    outside,
    close: async () => {
      await Promise.all([host.close(), outside.close()]);
    },
  };
}
