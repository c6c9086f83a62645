import { EventEmitter } from 'node:events';
import type { Socket } from 'node:net';
import { encodeFrame, encodeMessage, MessageType } from '@warden/protocol';
import { beforeEach, describe, expect, it } from 'vitest';
import { Connection } from './connection.ts';
import type { Line } from './dial.ts';

/** A line whose other end is the test. */
class TestLine implements Line {
  receive: (bytes: Uint8Array) => void = () => {};
  isStanding = false;
  readonly socket: Socket;

  constructor() {
    this.socket = Object.assign(new EventEmitter(), {
      pause: () => (this.isStanding = true),
      resume: () => (this.isStanding = false),
      ref: () => {},
      unref: () => {},
      write: () => true,
      destroy: () => {},
    }) as unknown as Socket;
  }

  /** All in one read, as it comes when this program was busy. */
  answer(type: number, ...payloads: readonly object[]): void {
    this.receive(Buffer.concat(payloads.map((one) => encodeFrame(encodeMessage(type, one, 'response')))));
  }
}

describe('a connection', () => {
  describe('whose stream has come to its end before all was taken', () => {
    const piece = { name: 'stdout', data: new Uint8Array(65_536) };
    const isLast = ({ exit_status }: { exit_status?: number }) => exit_status !== undefined;
    let leaving: AbortController;
    let line: TestLine;
    let connection: Connection;
    let answers: AsyncGenerator<{ exit_status?: number }>;
    let freed: number;
    beforeEach(async () => {
      line = new TestLine();
      connection = new Connection(line);
      freed = 0;
      leaving = new AbortController();
      answers = connection.stream(MessageType.Stream, { handle: 'h', job_id: 1 }, isLast, {
        signal: leaving.signal,
        isReused: true,
        onFree: () => (freed += 1),
      });
      const first = answers.next();
      line.answer(MessageType.Stream, piece, piece, piece, piece, piece);
      await first;
      expect([connection.isIdle, line.isStanding, freed]).toEqual([false, true, 0]);
      line.answer(MessageType.Stream, { exit_status: 0 });
    });

    it('serves the next request, which the rest of the stream does not touch', async () => {
      expect([connection.isAlive, connection.isIdle, line.isStanding, freed]).toEqual([true, true, false, 1]);
      const asked = connection.request(MessageType.Echo, { message: new Uint8Array(20_000) });
      leaving.abort();
      const taken: unknown[] = [];
      for await (const one of answers) taken.push(one);
      expect(taken).toEqual([piece, piece, piece, piece]);
      line.answer(MessageType.Echo, { message: new Uint8Array(20_000).fill(7) });
      expect(await asked).toEqual({ message: new Uint8Array(20_000).fill(7) });
      expect(freed).toBe(1);
    });

    it('stands when that is left', async () => {
      await answers.return({});
      expect([connection.isAlive, connection.isIdle, line.isStanding, freed]).toEqual([true, true, false, 1]);
    });
  });

  it('takes an answer of any size: its job is not there any more', async () => {
    const line = new TestLine();
    const connection = new Connection(line);
    const stdout = new Uint8Array(70 << 20);
    const asked = connection.request(MessageType.Link, { handle: 'h', job_id: 1 });
    line.answer(MessageType.Link, { exit_status: 0, stdout });
    const answer = (await asked) as { readonly stdout: Uint8Array };
    expect(answer.stdout.length).toBe(70 << 20);
  });
});
