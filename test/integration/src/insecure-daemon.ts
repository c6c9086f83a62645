/** The daemon with the insecure backend: as root, and as a user of the machine who is nobody special. */
import type { TestDaemonOptions } from '@warden/test-harness';

const config = { server: { container_klass: 'Warden::Container::Insecure' } };

/** Who runs the daemon. */
export const INSECURE_DAEMONS: readonly { readonly who: string; readonly options: TestDaemonOptions }[] = [
  { who: 'root', options: { config } },
  { who: 'an unprivileged user', options: { config, uid: 54_321 } },
];

/** The options with further keys of the section `server`. */
export function withServer(
  options: TestDaemonOptions,
  server: Readonly<Record<string, unknown>>,
): TestDaemonOptions {
  return {
    ...options,
    config: { ...options.config, server: { ...config.server, ...server } },
  };
}
