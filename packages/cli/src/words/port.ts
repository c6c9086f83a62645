/** `warden port`: ports of the host that lead into a container. */
import type { PortMapping } from '@warden/interface';
import { writeList } from '../human/write-answer.ts';
import { parsePublished } from './published.ts';
import type { Word } from './word.ts';

/** See the file's head. */
export const port: Word = {
  name: 'port',
  summary: 'List the ports of the host that lead into a container, or publish one more.',
  details: [
    'Without HOST the daemon picks a port of its pool. A port stays published until the container is destroyed.',
  ],
  operands: [
    { name: 'HANDLE', kind: 'handle' },
    { name: '[HOST:]PORT', kind: 'plain', isOptional: true },
  ],
  flags: [],
  examples: [
    ['warden port box', 'what there is'],
    ['warden port box 8080:80', 'port 8080 of the host leads to 80 in the container'],
    ["warden port box 80 --json | jq '.[0].hostPort'", 'picked by the daemon'],
  ],
  async run(given, context) {
    const [handle, wanted] = given.operands as [string, string | undefined];
    const published = wanted === undefined ? undefined : parsePublished(wanted, 'port');
    const box = (await context.connect()).container(handle);
    const mappings: readonly PortMapping[] =
      published === undefined ? ((await box.info()).ports ?? []) : [await box.netIn(published)];
    await writeList(context, mappings, () =>
      mappings.map(({ hostPort, containerPort }) => `${hostPort} -> ${containerPort}`),
    );
    return 0;
  },
};
