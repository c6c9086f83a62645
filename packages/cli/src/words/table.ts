/** Every word for people: the one place that help, completion and manual pages are made from. */
import { attach } from './attach.ts';
import { completion } from './completion.ts';
import { cp } from './cp.ts';
import { egress } from './egress.ts';
import { events } from './events.ts';
import { exec } from './exec.ts';
import { FOREIGN_WORDS } from './foreign.ts';
import { IMAGE_WORDS } from './image.ts';
import { inspect } from './inspect.ts';
import { logs } from './logs.ts';
import { port } from './port.ts';
import { ps } from './ps.ts';
import { run } from './run.ts';
import { top } from './top.ts';
import type { Word } from './word.ts';

/** In alphabetical order. */
export const WORDS: readonly Word[] = [
  attach,
  completion,
  cp,
  egress,
  events,
  exec,
  ...FOREIGN_WORDS,
  ...IMAGE_WORDS,
  inspect,
  logs,
  port,
  ps,
  run,
  top,
].sort((a, b) => (a.name < b.name ? -1 : 1));
