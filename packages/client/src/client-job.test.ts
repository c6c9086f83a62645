import { MessageType } from '@warden/protocol';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { type Arrived, RawServer, until } from '../test/raw-server.ts';
import type { ClientContainer } from './client-container.ts';
import { connect, type WardenClient } from './warden-client.ts';

let server: RawServer;
let warden: WardenClient;
let box: ClientContainer;
let handler: (request: Arrived) => void | Promise<void>;

beforeEach(async () => {
  handler = (request) => request.reply();
  server = await RawServer.start((request) => handler(request));
  warden = await connect({ path: server.path });
  box = warden.container('h');
});
afterEach(async () => {
  await warden.close();
  await server[Symbol.asyncDispose]();
});

const text = (value: string): Uint8Array => new TextEncoder().encode(value);

/** A daemon with one endless job that JobSignal ends. */
function endlessJob(): { links: Arrived[] } {
  const links: Arrived[] = [];
  handler = (request) => {
    if (request.type === MessageType.Spawn) request.reply({ job_id: 7 });
    else if (request.type === MessageType.Link) links.push(request);
    else if (request.type === MessageType.JobSignal) {
      request.reply();
      for (const link of links) link.reply({ exit_status: 255, stdout: text('so far'), stderr: text('') });
    } else request.reply();
  };
  return { links };
}

describe('run', () => {
  it('gives status and output, and does not throw for a status', async () => {
    handler = (request) =>
      request.reply({ exit_status: 3, stdout: Buffer.from([0xff, 0x41]), stderr: text('oops\n') });
    const result = await box.run('exit 3', { privileged: true, rlimits: { nofile: 10n } });
    expect(result).toMatchObject({ exitStatus: 3, stdoutText: '\udcffA', stderrText: 'oops\n' });
    expect(server.requests[0]).toMatchObject({
      type: MessageType.Run,
      payload: { handle: 'h', privileged: true, rlimits: { nofile: 10n } },
    });
    expect(Buffer.from(server.requests[0]!.payload.script as Uint8Array).toString()).toBe('exit 3');
  });

  it('throws with check, with status and the end of the output', async () => {
    handler = (request) =>
      request.reply({ exit_status: 3, stdout: text(`${'x'.repeat(5000)}end`), stderr: text('oops') });
    await expect(box.run('exit 3', { check: true })).rejects.toMatchObject({
      code: 'COMMAND_FAILED',
      fields: { exitStatus: 3, stderr: 'oops', stdout: expect.stringMatching(/^x{4093}end$/) },
    });
  });
});

describe('limits', () => {
  it('go with check', async () => {
    handler = (request) =>
      request.reply(
        request.type === MessageType.Spawn ? { job_id: 1 } : { exit_status: 3, stderr: text('oops') },
      );
    await expect(box.run('exit 3', { timeoutMs: 5_000, check: true })).rejects.toMatchObject({
      code: 'COMMAND_FAILED',
      fields: { exitStatus: 3, stderr: 'oops' },
    });
  });

  it('kill the tree in the container before an abort rejects', async () => {
    const { links } = endlessJob();
    const controller = new AbortController();
    const run = box.run('sleep 1000', { signal: controller.signal });
    await until(() => links.length === 1, 'the job is awaited');
    const reason = new Error('enough');
    controller.abort(reason);
    await expect(run).rejects.toMatchObject({ code: 'ABORTED', cause: reason });
    expect(server.requests.find((one) => one.type === MessageType.Spawn)?.payload.track_tree).toBe(true);
    expect(server.requests.find((one) => one.type === MessageType.JobSignal)?.payload).toMatchObject({
      handle: 'h',
      job_id: 7,
      signal: 9,
      tree: true,
    });
  });

  it('end the job after timeoutMs', async () => {
    endlessJob();
    await expect(box.run('sleep 1000', { timeoutMs: 30 })).rejects.toMatchObject({
      code: 'TIMEOUT',
      fields: { timeoutMs: 30 },
    });
    expect(server.count(MessageType.JobSignal)).toBe(1);
  });

  it('treat AbortSignal.timeout as a time limit', async () => {
    endlessJob();
    await expect(box.run('sleep 1000', { signal: AbortSignal.timeout(30) })).rejects.toMatchObject({
      code: 'TIMEOUT',
      cause: { name: 'TimeoutError' },
    });
  });

  it('start nothing when the signal is aborted already', async () => {
    await expect(box.run('true', { signal: AbortSignal.abort() })).rejects.toMatchObject({ code: 'ABORTED' });
    expect(server.requests).toEqual([]);
  });

  it('end a job whose spawn had not been answered yet', async () => {
    let spawn: Arrived | undefined;
    handler = (request) => {
      if (request.type === MessageType.Spawn) spawn = request;
      else request.reply();
    };
    const controller = new AbortController();
    const run = box.run('sleep 1000', { signal: controller.signal });
    const failed = expect(run).rejects.toMatchObject({ code: 'ABORTED' });
    await until(() => spawn !== undefined, 'the spawn arrived');
    controller.abort();
    spawn!.reply({ job_id: 9 });
    await failed;
    expect(server.requests.at(-1)).toMatchObject({ type: MessageType.JobSignal, payload: { job_id: 9 } });
  });

  it('do not claim that a refused job goes on', async () => {
    let spawn: Arrived | undefined;
    handler = (request) => {
      spawn = request;
    };
    const failed = expect(box.run('true', { timeoutMs: 20 })).rejects.toMatchObject({
      code: 'TIMEOUT',
      message: 'the job did not end within 20 ms',
    });
    await until(() => spawn !== undefined, 'the spawn arrived');
    // the time was up before this
    await new Promise((resolve) => setTimeout(resolve, 40));
    spawn!.refuse('unknown handle');
    await failed;
    expect(server.count(MessageType.JobSignal)).toBe(0);
  });

  it('say so when the daemon cannot end a job', async () => {
    handler = (request) => {
      if (request.type === MessageType.Spawn) request.reply({ job_id: 7 });
      else if (request.type === MessageType.JobSignal) request.refuse('Unknown request type: 1001');
    };
    await expect(box.run('sleep 1000', { timeoutMs: 20 })).rejects.toMatchObject({
      code: 'TIMEOUT',
      message: expect.stringContaining('goes on'),
      fields: { isEnded: false },
      suppressed: [{ code: 'UNSUPPORTED' }],
    });
  });

  it('say so when the daemon is silent, and hold nothing open', async () => {
    handler = (request) => {
      if (request.type === MessageType.Spawn) request.reply({ job_id: 7 });
    };
    await expect(box.run('sleep 1000', { timeoutMs: 20 })).rejects.toMatchObject({
      code: 'TIMEOUT',
      fields: { isEnded: false },
      suppressed: [{ code: 'UNSUPPORTED' }],
    });
    await until(() => server.open <= 2, 'the connections that waited are closed');
  });

  it('leave a job alone that ended in time', async () => {
    handler = (request) =>
      request.reply(request.type === MessageType.Spawn ? { job_id: 7 } : { exit_status: 0 });
    const controller = new AbortController();
    expect((await box.run('true', { signal: controller.signal, timeoutMs: 1_000 })).exitStatus).toBe(0);
    controller.abort();
    await new Promise((resolve) => setTimeout(resolve, 1_100));
    expect(server.count(MessageType.JobSignal)).toBe(0);
  });

  it('work when every connection is taken', async () => {
    await using small = await connect({ path: server.path, maxConnections: 1 });
    endlessJob();
    await expect(small.container('h').run('sleep 1000', { timeoutMs: 30 })).rejects.toMatchObject({
      code: 'TIMEOUT',
    });
  });
});

describe('output', () => {
  const chunks = (request: Arrived): void => {
    request.reply({ name: 'stdout', data: text('a') });
    request.reply({ name: 'stderr', data: text('b') });
    request.reply({ exit_status: 4, info: { state: 'active' } });
  };

  it('comes in order, and the result is its end', async () => {
    handler = (request) =>
      request.type === MessageType.Stream ? chunks(request) : request.reply({ job_id: 7 });
    server.chunk = 3;
    const job = await box.spawn('…');
    const seen: string[] = [];
    for await (const { stream, data } of job.output) seen.push(`${stream}:${Buffer.from(data)}`);
    expect(job.id).toBe(7);
    expect(seen).toEqual(['stdout:a', 'stderr:b']);
    expect(await job.result()).toMatchObject({ exitStatus: 4, stdoutText: '', info: { state: 'active' } });
    expect(server.count(MessageType.Link)).toBe(0);
  });

  it('ends as the return value of stream', async () => {
    handler = chunks;
    const stream = box.job(7).stream();
    await stream.next();
    await stream.next();
    expect(await stream.next()).toMatchObject({ done: true, value: { exitStatus: 4 } });
  });

  it('left early gives the connection up and keeps the job', async () => {
    handler = (request) => {
      if (request.type === MessageType.Stream) request.reply({ name: 'stdout', data: text('a') });
      else request.reply({ exit_status: 0, job_id: 7 });
    };
    const job = box.job(7);
    for await (const chunk of job.output) {
      expect(Buffer.from(chunk.data).toString()).toBe('a');
      break;
    }
    await until(() => server.open === 1, 'the lane is closed');
    expect((await job.result()).exitStatus).toBe(0);
  });

  it('rejects when the connection is lost in the middle, after what had arrived', async () => {
    handler = (request) => {
      request.reply({ name: 'stdout', data: text('a') });
      request.socket.end();
    };
    const seen: string[] = [];
    const read = async (): Promise<void> => {
      for await (const { data } of box.job(7).output) seen.push(String.fromCharCode(...data));
    };
    await expect(read()).rejects.toMatchObject({ code: 'UNAVAILABLE' });
    expect(seen).toEqual(['a']);
  });

  it('pauses the socket while the reader is slow', async () => {
    const block = new Uint8Array(64 * 1024).fill(0x61);
    const total = 400;
    let sent = 0;
    handler = async (request) => {
      for (; sent < total; sent += 1) {
        request.reply({ name: 'stdout', data: block });
        if (request.socket.writableNeedDrain)
          await new Promise((resolve) => request.socket.once('drain', resolve));
      }
      request.reply({ exit_status: 0 });
    };
    const output = box.job(7).stream();
    await output.next();
    await new Promise((resolve) => setTimeout(resolve, 100));
    expect(sent).toBeLessThan(total / 4);
    let bytes = block.length;
    for (let step = await output.next(); !step.done; step = await output.next())
      bytes += step.value.data.length;
    expect(bytes).toBe(total * block.length);
  });

  it('rejects with the reason when the time is up', async () => {
    let stream: Arrived | undefined;
    handler = (request) => {
      if (request.type === MessageType.Spawn) request.reply({ job_id: 7 });
      else if (request.type === MessageType.Stream) stream = request;
      else {
        request.reply();
        stream?.reply({ exit_status: 255 });
      }
    };
    // Long enough for the answer to the spawn on a busy machine: the limit counts from the call.
    const job = await box.spawn('sleep 1000', { timeoutMs: 2000 });
    const read = async (): Promise<void> => {
      for await (const _ of job.output);
    };
    await expect(read()).rejects.toMatchObject({ code: 'TIMEOUT' });
    await expect(job.result()).rejects.toMatchObject({ code: 'TIMEOUT' });
  });
});

describe('the result of a job', () => {
  /** As the daemon does: the result goes to those who wait for it, and then there is no such job. */
  function givenOnce(): void {
    let isTaken = false;
    handler = (request) => {
      if (request.type === MessageType.Spawn) return request.reply({ job_id: 7 });
      if (isTaken) return request.refuse('no such job');
      isTaken = true;
      request.reply({ exit_status: 3, stdout: text('kept') });
    };
  }

  it.each([undefined, { timeoutMs: 60_000 }])(
    'can be asked for again, also when nobody has looked at the first answer (%j)',
    async (limits) => {
      givenOnce();
      const job = await box.spawn('…', limits);
      const lost = job.result();
      expect(await Promise.race([lost, 'still running'])).toBe('still running');
      await lost;
      expect(await job.result()).toMatchObject({ exitStatus: 3, stdoutText: 'kept' });
      expect(await job.result()).toBe(await lost);
      expect(server.count(MessageType.Link)).toBe(1);
    },
  );

  it('is there after the output was read, also when somebody tries to read that again', async () => {
    givenOnce();
    const job = await box.spawn('…');
    const read = async (): Promise<void> => {
      for await (const _ of job.output);
    };
    await read();
    await expect(read()).rejects.toMatchObject({ message: 'no such job' });
    expect(await job.result()).toMatchObject({ exitStatus: 3 });
  });

  it('is asked for again after a failure', async () => {
    handler = (request) => {
      if (server.count(MessageType.Link) === 1) request.socket.destroy();
      else return request.reply({ exit_status: 3, stdout: text('kept') });
    };
    const job = box.job(7);
    await expect(job.result()).rejects.toMatchObject({ code: 'UNAVAILABLE' });
    expect(await job.result()).toMatchObject({ exitStatus: 3, stdoutText: 'kept' });
  });
});

describe('await using', () => {
  it('destroys the container, and does not mind that it is gone', async () => {
    handler = (request) => request.refuse('unknown handle');
    {
      await using gone = warden.container('h');
      expect(gone.handle).toBe('h');
    }
    expect(server.count(MessageType.Destroy)).toBe(1);
  });
});
