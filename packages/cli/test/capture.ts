/** Runs the program in this process on streams of the test. */
import { PassThrough } from 'node:stream';
import { runProgram } from '../src/main.ts';

export interface Captured {
  readonly status: number;
  readonly stdout: string;
  readonly stderr: string;
}

/**
 * Output is read as latin1, so that every byte can be compared. `terminals`: which of the streams are some.
 */
export async function capture(
  argv: readonly string[],
  input = '',
  env: Record<string, string> = {},
  terminals: readonly ('stdout' | 'stderr')[] = [],
): Promise<Captured> {
  const [stdin, stdout, stderr] = [new PassThrough(), new PassThrough(), new PassThrough()];
  for (const name of terminals) Object.assign({ stdout, stderr }[name], { isTTY: true });
  stdin.end(Buffer.from(input, 'latin1'));
  const read = async (stream: PassThrough): Promise<string> => {
    const chunks: Buffer[] = [];
    for await (const chunk of stream) chunks.push(chunk as Buffer);
    return Buffer.concat(chunks).toString('latin1');
  };
  const outputs = Promise.all([read(stdout), read(stderr)]);
  const status = await runProgram(argv, { stdin, stdout, stderr, env });
  stdout.end();
  stderr.end();
  const [out, error] = await outputs;
  return { status, stdout: out, stderr: error };
}
