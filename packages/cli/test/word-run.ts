/** Words against a warden in memory. */
import { PassThrough } from 'node:stream';
import type { FakeWarden } from '@warden/client/testing';
import { parseOptions } from '../src/options.ts';
import { runWord } from '../src/words/run-word.ts';

export interface Ended {
  readonly status: number;
  readonly stdout: string;
  readonly stderr: string;
}

export interface RunWordOptions {
  readonly input?: string;
  /** Which of the streams are terminals. */
  readonly terminals?: readonly ('stdin' | 'stdout' | 'stderr')[];
  readonly env?: Record<string, string>;
  /** Called with each piece of standard output. */
  readonly onOutput?: (stdout: PassThrough) => void;
}

/**
 * Runs what stands behind `warden`, which has to be a word. Output is read as latin1, so that every byte can
 * be compared.
 */
export async function warden(
  fake: FakeWarden,
  words: readonly string[],
  { input = '', terminals = [], env = {}, onOutput }: RunWordOptions = {},
): Promise<Ended> {
  const streams = { stdin: new PassThrough(), stdout: new PassThrough(), stderr: new PassThrough() };
  for (const name of terminals) Object.assign(streams[name], { isTTY: true });
  streams.stdin.end(input);
  if (onOutput !== undefined) streams.stdout.on('data', () => onOutput(streams.stdout));
  const read = async (stream: PassThrough): Promise<string> => {
    const chunks: Buffer[] = [];
    for await (const chunk of stream) chunks.push(chunk as Buffer);
    return Buffer.concat(chunks).toString('latin1');
  };
  const outputs = Promise.all([read(streams.stdout), read(streams.stderr)]);
  const options = parseOptions(words);
  if (options.word === undefined) throw new Error(`no word: ${words.join(' ')}`);
  const status = await runWord(options.word, options, { ...streams, env }, () => fake.connect());
  streams.stdout.end();
  streams.stderr.end();
  const [stdout, stderr] = await outputs;
  return { status, stdout, stderr };
}
