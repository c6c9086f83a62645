/** Why a job ended, on the wire: an addition that nobody who does not know it can notice. */
import type { ExitVerdict, Job } from '@warden/interface';
import {
  decode,
  encode,
  LinkResponse,
  type MessageDescriptor,
  MessageType,
  RunResponse,
  StreamResponse,
} from '@warden/protocol';
import { describe, expect, it } from 'vitest';
import { HANDLERS } from '../src/requests.ts';
import { Uploads } from '../src/uploads.ts';
import { JOB_INFO, ProgrammableHost } from './programmable-host.ts';

const output = { stdout: new Uint8Array(Buffer.from('out')), stderr: new Uint8Array() };

/** As the original has it. */
function original<T>({ name, fields }: MessageDescriptor<T>): MessageDescriptor<T> {
  return { name, fields: fields.filter(({ number }) => number < 1000) } as MessageDescriptor<T>;
}

async function answers(exitStatus: number, verdict?: ExitVerdict): Promise<Record<string, Uint8Array>> {
  const result = { exitStatus, verdict, info: JOB_INFO, ...output };
  // biome-ignore lint/correctness/useYield: a job without output
  const stream = async function* (): AsyncGenerator<never, typeof result> {
    return result;
  };
  const job = { link: async () => result, stream };
  const host = new ProgrammableHost({
    container: { spawn: async () => ({ id: 7, link: job.link }) as unknown as Job },
    job,
  } as never);
  const context = {
    warden: host.openSession(),
    signal: new AbortController().signal,
    relay: undefined,
    taken: Promise.resolve(),
    turn: async () => {},
    breakOff: () => {},
    send: async () => {},
    uploads: new Uploads(),
  };
  const ask = (type: number): Promise<object> =>
    HANDLERS[type]!(context, { handle: 'h', job_id: 7, script: output.stdout } as never);
  return {
    link: encode(LinkResponse, (await ask(MessageType.Link)) as never),
    run: encode(RunResponse, (await ask(MessageType.Run)) as never),
    stream: encode(StreamResponse, (await ask(MessageType.Stream)) as never),
  };
}

const DESCRIPTORS = { link: LinkResponse, run: RunResponse, stream: StreamResponse };

describe('the additional fields', () => {
  it('leave a plain exit as the original answers it', async () => {
    for (const status of [0, 3, 254])
      expect(await answers(status, { reason: 'exited' })).toEqual(await answers(status));
  });

  it("are skipped by a client that knows only the original's fields", async () => {
    const told = await answers(255, { reason: 'signal', signal: 9 });
    const untold = await answers(255);
    for (const [name, descriptor] of Object.entries(DESCRIPTORS)) {
      expect(told[name]).not.toEqual(untold[name]);
      const old = original(descriptor as MessageDescriptor<object>);
      expect(decode(old, told[name]!)).toEqual(decode(old, untold[name]!));
      expect(decode(descriptor as MessageDescriptor<object>, told[name]!)).toMatchObject({
        exit_status: 255,
        exit_reason: 'signal',
        exit_signal: 9,
      });
    }
  });

  it('tell an exit with the status of all that are none', async () => {
    const { link } = await answers(255, { reason: 'exited' });
    expect(decode(LinkResponse, link!)).toMatchObject({ exit_status: 255, exit_reason: 'exited' });
  });
});
