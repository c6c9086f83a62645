/** `warden port`: ports of the host that lead into a container. */
import type { PortMapping } from '@warden/interface';
import { CommandError } from '../command-error.ts';
import { writeList } from '../human/write-answer.ts';
import { parsePublished } from './published.ts';
import type { Word } from './word.ts';

/** See the file's head. */
export const port: Word = {
  name: 'port',
  summary: 'List the ports of the host that lead into a container, publish one more, or take one back.',
  details: [
    'It is published at 127.0.0.1 and at one address of the host, that of its default route or drivers.outward_address.',
    'Without HOST the daemon picks a port of its pool. A port stays published until it is taken back, with its connections, or the container is destroyed.',
    'With --remove the port is one of the host; what is left is written. One that is not published is no failure.',
  ],
  operands: [
    { name: 'HANDLE', kind: 'handle' },
    { name: '[HOST:]PORT', kind: 'plain', isOptional: true },
  ],
  flags: [{ name: 'remove', text: 'Take the port back, and end its connections.' }],
  examples: [
    ['warden port box', 'what there is'],
    ['warden port box 8080:80', 'port 8080 of the host leads to 80 in the container'],
    ['warden port box --remove 8080', 'port 8080 of the host leads nowhere any more'],
    ["warden port box 80 --json | jq '.[0].hostPort'", 'picked by the daemon'],
  ],
  async run(given, context) {
    const [handle, wanted] = given.operands as [string, string | undefined];
    const published = wanted === undefined ? undefined : parsePublished(wanted, 'port');
    const box = (await context.connect()).container(handle);
    const isRemoval = given.has('remove');
    if (isRemoval && (published === undefined || published.hostPort !== undefined))
      throw new CommandError(
        'port: with --remove one port of the host is needed, as in: warden port box --remove 8080',
      );
    const mappings: readonly PortMapping[] = isRemoval
      ? (await box.removeNetRules({ ports: [published!.containerPort] })).ports
      : published === undefined
        ? ((await box.info()).ports ?? [])
        : [await box.netIn(published)];
    await writeList(context, mappings, () =>
      mappings.map(({ hostPort, containerPort }) => `${hostPort} -> ${containerPort}`),
    );
    return 0;
  },
};
