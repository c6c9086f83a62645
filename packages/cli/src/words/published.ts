/** Ports as they are typed: `80` (any port of the host), `8080:80`. */
import { isPort, noPort } from '@warden/interface';
import { CommandError } from '../command-error.ts';
import { shown } from '../human/shown.ts';

/** A port of the host and one of a container. */
export interface Published {
  readonly hostPort?: number;
  readonly containerPort: number;
}

/** Error: `CommandError` naming `what`. */
export function parsePublished(text: string, what: string): Published {
  const match = /^(?:([0-9]{1,5}):)?([0-9]{1,5})$/.exec(text);
  const [host, container] = [match?.[1], match?.[2]].map((port) =>
    port === undefined ? undefined : Number(port),
  );
  if (container === undefined || !isPort(container) || (host !== undefined && !isPort(host)))
    throw new CommandError(`${what}: ${noPort(shown(text))}; write PORT or HOST:PORT, one pair for each`);
  return host === undefined ? { containerPort: container } : { hostPort: host, containerPort: container };
}
