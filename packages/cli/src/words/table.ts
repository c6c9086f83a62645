/** Every word for people: the one place that help, completion and manual pages are made from. */
import { attach } from './attach.ts';
import { exec } from './exec.ts';
import { FOREIGN_WORDS } from './foreign.ts';
import { IMAGE_WORDS } from './image.ts';
import { inspect } from './inspect.ts';
import { ps } from './ps.ts';
import { run } from './run.ts';
import type { Word } from './word.ts';

/** In alphabetical order. */
export const WORDS: readonly Word[] = [attach, exec, ...FOREIGN_WORDS, ...IMAGE_WORDS, inspect, ps, run].sort(
  (a, b) => (a.name < b.name ? -1 : 1),
);
