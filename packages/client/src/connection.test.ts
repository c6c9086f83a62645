import { EventEmitter } from 'node:events';
import type { Socket } from 'node:net';
import { encodeFrame, encodeMessage, MessageType } from '@warden/protocol';
import { describe, expect, it } from 'vitest';
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
  it('whose stream is left behind its end, and before all was taken, serves the next request', async () => {
    const line = new TestLine();
    const connection = new Connection(line);
    const isLast = ({ exit_status }: { exit_status?: number }) => exit_status !== undefined;
    const answers = connection.stream(MessageType.Stream, { handle: 'h', job_id: 1 }, isLast);
    const first = answers.next();
    const piece = { name: 'stdout', data: new Uint8Array(65_536) };
    line.answer(MessageType.Stream, piece, piece, piece, piece, piece, { exit_status: 0 });
    await first;
    expect(line.isStanding).toBe(true);
    await answers.return({});
    expect([connection.isAlive, connection.isIdle, line.isStanding]).toEqual([true, true, false]);
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
