/** `warden events`: what happens to containers, as it happens. */
import { type ContainerEvent, type ContainerEventType, EVENT_TYPES } from '@warden/interface';
import { exitText } from '../exit-text.ts';
import { formatJson } from '../format-answer.ts';
import { deniedText } from '../human/denied-text.ts';
import { shown } from '../human/shown.ts';
import { type Paint, painter, type Tone } from '../human/style.ts';
import { parsePairs, parseWhole } from '../human/units.ts';
import { tell } from '../human/write-answer.ts';
import { write } from '../terminal.ts';
import { LABEL_FLAG } from './ps.ts';
import type { Word } from './word.ts';

/** See the file's head. */
export const events: Word = {
  name: 'events',
  summary: 'Show what happens to containers from now on, until it is interrupted.',
  details: [
    'The daemon keeps no events: what happened before is not told. Who reads too slowly loses the oldest; how many is told on standard error, and in the field lost.',
  ],
  operands: [{ name: 'HANDLE', kind: 'handle', isOptional: true }],
  flags: [
    {
      name: 'type',
      value: 'TYPE,...',
      isMany: true,
      choices: EVENT_TYPES,
      text: 'Only these.',
    },
    LABEL_FLAG,
    { name: 'count', short: 'n', value: 'N', text: 'End after that many.' },
  ],
  examples: [
    ['warden events', 'everything'],
    ['warden events --type oom,exit --jsonl', 'for programs'],
    ['warden events box --type destroyed -n 1', 'wait for the end of a container'],
  ],
  async run(given, context) {
    const { terminal, format } = context;
    const count = given.value('count');
    const most = count === undefined ? Number.POSITIVE_INFINITY : parseWhole(count, '--count', [1, 2 ** 31]);
    const types = given.values('type').flatMap((text) => text.split(',')) as ContainerEventType[];
    const filter = {
      ...(given.operands[0] !== undefined && { handle: given.operands[0] }),
      ...(types.length > 0 && { types }),
      ...(given.has('label') && { properties: parsePairs(given.values('label'), '--label') }),
    };
    const paint = painter(terminal);
    const stream = await (await context.connect()).events(filter);
    let seen = 0;
    for await (const event of stream) {
      if (event.lost > 0) await tell(context, `${event.lost} events were lost: they were not read in time`);
      await write(terminal.stdout, format === 'text' ? `${lineOf(event, paint)}\n` : formatJson(event));
      seen += 1;
      if (seen >= most) break;
    }
    return 0;
  },
};

const TONES: Readonly<Partial<Record<ContainerEventType, Tone>>> = {
  created: 'good',
  oom: 'bad',
  'network-denied': 'bad',
  'output-limit': 'bad',
  destroyed: 'quiet',
};
const TYPE_WIDTH = Math.max(...EVENT_TYPES.map((type) => type.length));

function lineOf(event: ContainerEvent, paint: Paint): string {
  const details = detailsOf(event);
  const time = new Date(event.time).toISOString();
  const type = paint(TONES[event.type], event.type.padEnd(TYPE_WIDTH));
  return `${paint('quiet', time)}  ${type}  ${shown(event.handle)}${details === '' ? '' : `  ${details}`}`;
}

function detailsOf(event: ContainerEvent): string {
  if (event.type === 'limit') return `${event.limit} ${event.value}`;
  if (event.type === 'output-limit') return `job ${event.jobId}`;
  if (event.type === 'network-denied') return deniedText(event);
  if (event.type !== 'exit') return '';
  const why = exitText(event.verdict)
    ?.trimEnd()
    .replace(/^job ended/, `job ${event.jobId}`);
  return why ?? `job ${event.jobId}: status ${event.exitStatus}`;
}
