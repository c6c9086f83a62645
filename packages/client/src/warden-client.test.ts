import { isWardenError } from '@warden/interface';
import { MessageType } from '@warden/protocol';
import fc from 'fast-check';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { type Arrived, RawServer, until } from '../test/raw-server.ts';
import { connect, type WardenClient } from './warden-client.ts';

let server: RawServer;
let warden: WardenClient;
let handler: (request: Arrived) => void | Promise<void>;

beforeEach(async () => {
  handler = (request) => request.reply();
  server = await RawServer.start((request) => handler(request));
  warden = await connect({ path: server.path });
});
afterEach(async () => {
  await warden.close();
  await server[Symbol.asyncDispose]();
});

const text = (value: string): Uint8Array => new TextEncoder().encode(value);
const codeOf = async (promise: Promise<unknown>): Promise<string> => {
  try {
    await promise;
    return 'resolved';
  } catch (error) {
    return isWardenError(error) ? error.code : String(error);
  }
};

describe('requests', () => {
  it('sends what the specs say and nothing that is absent', async () => {
    handler = (request) => request.reply(request.type === MessageType.Create ? { handle: 'h' } : {});
    const box = await warden.create({
      graceTime: 0,
      bindMounts: [{ source: '/a', target: '/b', mode: 'rw' }],
    });
    await box.stop({ kill: true });
    await box.netOut({ network: '10.0.0.0/8', protocol: 'icmp', icmpType: -1 });
    await box.copyOut('/a', '/b');
    expect(box.handle).toBe('h');
    expect(server.requests.map((one) => one.payload)).toMatchObject([
      { grace_time: 0, bind_mounts: [{ src_path: '/a', dst_path: '/b', mode: 1 }] },
      { handle: 'h', kill: true },
      { handle: 'h', network: '10.0.0.0/8', protocol: 2, icmp_type: -1 },
      { handle: 'h', src_path: '/a', dst_path: '/b' },
    ]);
    expect(server.requests[3]!.payload).not.toHaveProperty('owner');
  });

  it.each([
    [5, 'number'],
    [undefined, 'undefined'],
    [null, 'null'],
    [['id'], 'a list: exec takes a program and its arguments, and so does the option argv'],
    [{}, 'object'],
  ])('refuses %j as a script in the words of its type, and sends nothing', async (script, found) => {
    const box = warden.container('h');
    for (const starting of [box.run(script as never), box.spawn(script as never)])
      await expect(starting).rejects.toEqual(
        new TypeError(`a script is a string, bytes or a command of sh, not ${found}`),
      );
    expect(server.requests).toEqual([]);
  });

  it('refuses what names no container and no job, in words of this API', async () => {
    const nothing: never = undefined as never;
    expect(() => warden.container(nothing)).toThrow('container: handle is missing');
    expect(() => warden.container(7 as never)).toThrow('container: handle must be a string, not 7');
    expect(() => warden.container('h').job('1' as never)).toThrow('job: id must be a whole number');
    await expect(warden.getOrCreate({} as never)).rejects.toThrow('get or create: spec.handle is missing');
    await expect(warden.echo('x' as never)).rejects.toThrow('echo: message must be bytes');
    expect(server.requests).toEqual([]);
  });

  it('refuses an open input for a script that is run to its end: nobody could write to it', async () => {
    const running = warden.container('h').run('cat', { stdin: 'pipe' });
    await expect(running).rejects.toMatchObject({ code: 'INVALID_SPEC', fields: { object: 'stdin' } });
    await expect(running).rejects.toThrow('spawn it');
    expect(server.requests.filter(({ type }) => type === MessageType.Run)).toEqual([]);
  });

  it('takes signals by number and by name, and says which name was meant', async () => {
    const job = warden.container('h').job(3);
    await job.kill({ signal: 'SIGTERM', tree: false });
    await job.kill({ signal: 10 });
    expect(server.requests.map(({ payload }) => payload)).toMatchObject([
      { job_id: 3, signal: 15, tree: false },
      { job_id: 3, signal: 10, tree: true },
    ]);
    await expect(job.kill({ signal: 'SIGTREM' as never })).rejects.toThrow(
      `kill: options.signal "SIGTREM" is no signal of this host; did you mean 'SIGTERM'?`,
    );
    await expect(job.kill({ signal: 1.5 })).rejects.toThrow('options.signal must be a whole number');
    expect(server.requests).toHaveLength(2);
  });

  it('translates info, limits and ports', async () => {
    handler = (request) => {
      if (request.type === MessageType.Info) {
        request.reply({
          state: 'active',
          events: ['out of memory'],
          host_ip: '10.0.0.1',
          memory_stat: { cache: 7n },
          cpu_stat: { usage: 1n, user: 2n, system: 3n },
          bandwidth_stat: { in_rate: 4294967295n },
          pressure_stat: { memory: { some_avg60: 1234, some_total: 5n, full_total: 6n } },
          job_ids: [1n, 300n],
        });
      } else if (request.type === MessageType.NetIn) request.reply({ host_port: 61001, container_port: 80 });
      else if (request.type === MessageType.LimitMemory) request.reply({ limit_in_bytes: 2n ** 63n - 4096n });
      else request.reply();
    };
    const box = warden.container('h');
    expect(await box.info()).toMatchObject({
      state: 'active',
      events: ['out of memory'],
      hostIp: '10.0.0.1',
      memoryStat: { cache: 7n },
      cpuStat: { usage: 1n, user: 2n, system: 3n },
      bandwidthStat: { inRate: 4294967295n, outBurst: 0n },
      pressureStat: {
        memory: {
          some: { avg10: 0, avg60: 12.34, avg300: 0, total: 5n },
          full: { avg10: 0, avg60: 0, avg300: 0, total: 6n },
        },
      },
      jobIds: [1, 300],
    });
    expect(await box.netIn({ containerPort: 80 })).toEqual({ hostPort: 61001, containerPort: 80 });
    expect(await box.limitMemory()).toBe(9223372036854771712n);
    await box.limitDisk();
    expect(server.requests.at(-1)!.payload).toEqual({ handle: 'h' });
    expect(await box.limitDisk({})).toBeUndefined();
  });

  it('gets any bytes through in any pieces', async () => {
    handler = (request) => request.reply(request.payload);
    await fc.assert(
      fc.asyncProperty(
        fc.uint8Array({ maxLength: 200 }),
        fc.integer({ min: 1, max: 40 }),
        async (bytes, chunk) => {
          server.chunk = chunk;
          expect(Buffer.from(await warden.echo(bytes))).toEqual(Buffer.from(bytes));
        },
      ),
      { numRuns: 40 },
    );
  });

  it('gives an empty list when the daemon leaves the field out', async () => {
    expect(await warden.list()).toEqual([]);
  });

  it('refuses what cannot be encoded without losing the connection', async () => {
    expect(await codeOf(warden.request(MessageType.Echo, {}))).toBe('INVALID_SPEC');
    await warden.ping();
    expect(server.count(MessageType.Echo)).toBe(0);
  });

  it('forgets the signal of a request that ended, also of one that could not be sent', async () => {
    const controller = new AbortController();
    expect(await codeOf(warden.request(MessageType.Echo, {}, controller.signal))).toBe('INVALID_SPEC');
    expect(await codeOf(warden.request(MessageType.Ping, {}, controller.signal))).toBe('resolved');
    controller.abort();
    expect(warden.isConnected).toBe(true);
    expect(await codeOf(warden.request(MessageType.Ping, {}, controller.signal))).toBe('ABORTED');
    await warden.ping();
    expect(server.open).toBe(1);
  });

  it('pairs answers with requests by their order, errors included [protocol 6, 9.2]', async () => {
    const held: Arrived[] = [];
    handler = (request) => void held.push(request);
    const answers = ['a', 'b', 'c'].map(async (message) => {
      try {
        return Buffer.from(await warden.echo(text(message))).toString();
      } catch (error) {
        return `refused: ${(error as Error).message}`;
      }
    });
    await until(() => held.length === 3, 'all requests arrived');
    held[0]!.reply({ message: text('first') });
    held[1]!.refuse('second');
    held[2]!.reply({ message: text('third') });
    expect(await Promise.all(answers)).toEqual(['first', 'refused: second', 'third']);
  });

  it('takes an error in the place of the last answer of a stream, and goes on [protocol 6, 9.1]', async () => {
    handler = (request) => {
      request.reply({ name: 'stdout', data: text('x') });
      request.refuse('no such job');
    };
    const stream = warden.requestStream({ handle: 'h', job_id: 1 });
    expect((await stream.next()).value).toMatchObject({ name: 'stdout' });
    expect(await codeOf(stream.next())).toBe('UNKNOWN_JOB');
    handler = (request) => request.reply();
    await warden.ping();
    expect(server.open).toBe(1);
  });
});

describe('errors', () => {
  it('takes the code and the facts from data', async () => {
    handler = (request) =>
      request.refuse('no port available', { code: 'POOL_EXHAUSTED', pool: 'port', used: 5000 });
    await expect(warden.container('h').netIn()).rejects.toMatchObject({
      code: 'POOL_EXHAUSTED',
      message: 'no port available',
      fields: { pool: 'port', used: 5000 },
    });
  });

  it('knows the few texts the original fixes, and says REMOTE to the rest', async () => {
    for (const [message, code] of [
      ['unknown handle', 'UNKNOWN_HANDLE'],
      ['no such job', 'UNKNOWN_JOB'],
      ['container with handle: x already exists.', 'ALREADY_EXISTS'],
      ['rsync failed', 'REMOTE'],
    ] as const) {
      handler = (request) => request.refuse(message);
      await expect(warden.container('h').info()).rejects.toMatchObject({ code, message });
    }
  });

  it('keeps a code it does not know as a fact', async () => {
    handler = (request) => request.refuse('later', { code: 'FROM_THE_FUTURE' });
    await expect(warden.ping()).rejects.toMatchObject({
      code: 'REMOTE',
      fields: { remoteCode: 'FROM_THE_FUTURE' },
    });
  });

  it('rejects everything that waits when the connection is lost, and dials again later', async () => {
    handler = () => undefined;
    const waiting = [warden.ping(), warden.list(), warden.create()];
    await until(() => server.requests.length === 3, 'all requests arrived');
    server.dropAll();
    expect(await Promise.all(waiting.map(codeOf))).toEqual(['UNAVAILABLE', 'UNAVAILABLE', 'UNAVAILABLE']);
    handler = (request) => request.reply({ handle: 'h' });
    expect((await warden.create()).handle).toBe('h');
  });

  it('takes another connection behind a frame that the daemon could not read', async () => {
    let broken = 0;
    handler = (request) => {
      if (request.connection === broken) return; // as a daemon that waits until its client closes
      if (request.type !== MessageType.Echo) return request.reply();
      broken = request.connection;
      request.refuse('a frame is over the limit', { code: 'MALFORMED_REQUEST' });
      setTimeout(() => request.socket.end(), 50);
    };
    await expect(warden.echo(text('large'))).rejects.toMatchObject({ code: 'MALFORMED_REQUEST' });
    await Promise.all([warden.ping(), warden.list()]);
    const after = server.requests.filter(({ connection }) => connection !== broken);
    expect(after.map(({ type, connection }) => [type, connection])).toEqual([
      [MessageType.Ping, server.accepted],
      [MessageType.List, server.accepted],
    ]);
  });

  it('keeps its connection, which references its containers, behind a message that was not understood', async () => {
    handler = (request) =>
      request.type === MessageType.Echo
        ? request.refuse('the message is truncated', { code: 'MALFORMED_REQUEST' })
        : request.reply();
    await expect(warden.echo(text('odd'))).rejects.toMatchObject({ code: 'MALFORMED_REQUEST' });
    const before = server.accepted;
    await Promise.all([warden.ping(), warden.list()]);
    await warden.ping();
    expect(server.accepted).toBe(before);
  });

  it('closes a connection that sends garbage', async () => {
    handler = (request) => void request.socket.write('HTTP/1.1 400 Bad Request\r\n\r\n');
    expect(await codeOf(warden.ping())).toBe('INTERNAL');
    await until(() => server.open === 1, 'only home is left');
  });

  it('closes a connection whose answer is of another type', async () => {
    handler = (request) => void request.socket.write(Buffer.from('340d0a085c12000d0a', 'hex'));
    expect(await codeOf(warden.ping())).toBe('INTERNAL');
  });

  it('says UNAVAILABLE when nobody listens', async () => {
    await expect(connect({ path: `${server.path}.absent` })).rejects.toMatchObject({
      code: 'UNAVAILABLE',
      fields: { operation: 'connect', errno: 'ENOENT' },
    });
  });

  it('ends the attempt to connect with the signal', async () => {
    const reason = new Error('enough');
    await expect(connect({ path: server.path, signal: AbortSignal.abort(reason) })).rejects.toMatchObject({
      code: 'ABORTED',
      cause: reason,
    });
  });
});

describe('connections', () => {
  it('gives each concurrent request its own and reuses idle ones', async () => {
    const held: Arrived[] = [];
    handler = (request) => void held.push(request);
    const box = warden.container('h');
    const first = [box.info(), box.info(), box.info()];
    await until(() => held.length === 3, 'three arrived');
    expect(new Set(held.map((one) => one.connection)).size).toBe(3);
    for (const one of held) one.reply();
    await Promise.all(first);
    handler = (request) => request.reply();
    for (let at = 0; at < 10; at += 1) await box.info();
    expect(server.accepted).toBe(4);
  });

  it('never has more than the limit and serves the rest in order', async () => {
    await using small = await connect({ path: server.path, maxConnections: 2 });
    const held: Arrived[] = [];
    handler = (request) => void held.push(request);
    const done: string[] = [];
    const all = ['a', 'b', 'c', 'd', 'e'].map((name) =>
      small
        .container('h')
        .info()
        .then(() => done.push(name)),
    );
    for (let answered = 0; answered < 5; answered += 1) {
      await until(() => held.length > answered, 'the next one arrived');
      expect(held.length - answered).toBeLessThanOrEqual(2);
      held[answered]!.reply();
    }
    await Promise.all(all);
    expect(done).toEqual(['a', 'b', 'c', 'd', 'e']);
    // Two homes and the two lanes of the small one.
    expect(server.accepted).toBe(4);
  });

  it('asks about the daemon itself on the home connection, so that a list keeps no container alive', async () => {
    handler = (request) => request.reply(request.type === MessageType.Echo ? request.payload : {});
    const before = server.accepted;
    await Promise.all([warden.ping(), warden.list(), warden.echo(text('same')), warden.list()]);
    expect(server.accepted).toBe(before);
  });

  it('lets destroy and stop pass requests they are to end', async () => {
    await using small = await connect({ path: server.path, maxConnections: 1 });
    const held: Arrived[] = [];
    handler = (request) => (request.type === MessageType.Link ? void held.push(request) : request.reply());
    const link = small.container('h').job(1).link();
    await until(() => held.length === 1, 'the link waits');
    await small.container('h').destroy();
    held[0]!.reply({ exit_status: 255 });
    expect((await link).exitStatus).toBe(255);
  });

  it('issues creates on the home connection, which outlives the others', async () => {
    await using quick = await connect({ path: server.path, idleTimeoutMs: 20 });
    const home = server.accepted;
    handler = (request) => request.reply(request.type === MessageType.Create ? { handle: 'h' } : {});
    const box = await quick.create();
    await box.info();
    expect(server.requests.map((one) => one.connection)).toEqual([home, home + 1]);
    await until(() => !server.sockets.has(home + 1), 'the idle lane is closed');
    expect(server.sockets.has(home)).toBe(true);
  });

  it('keeps the connection that references a container made elsewhere, until it is destroyed', async () => {
    await using quick = await connect({ path: server.path, idleTimeoutMs: 20 });
    const box = quick.container('foreign');
    await box.info();
    const lane = server.accepted;
    await new Promise((resolve) => setTimeout(resolve, 80));
    expect(server.sockets.has(lane)).toBe(true);
    await box.destroy();
    await until(() => !server.sockets.has(lane), 'the lane is closed');
  });

  it.each([
    [
      'a subscription that is left',
      async () => {
        const events = await warden.events();
        await events.return?.();
      },
    ],
    [
      'output that is left',
      async () => {
        const answers = warden.container('other').job(1).stream();
        await answers.next();
        await answers.return(undefined as never);
      },
    ],
    [
      'output of its own that is left',
      async () => {
        const answers = warden.container('foreign').job(1).stream();
        await answers.next();
        await answers.return(undefined as never);
      },
    ],
    ['an upload that fails', () => codeOf(warden.container('foreign').files.write('/x', 'x'))],
    [
      'a link that is given up',
      () =>
        codeOf(
          warden
            .container('foreign')
            .job(2)
            .link({ signal: AbortSignal.timeout(20) }),
        ),
    ],
  ])('keeps it besides %s, which ends a connection', async (_, leave) => {
    handler = (request) => {
      if (request.type === MessageType.Features) request.reply({ features: ['events', 'files'] });
      else if (request.type === MessageType.Stream) request.reply({ name: 'stdout', data: text('x') });
      else if (request.type === MessageType.UploadData) request.refuse('no');
      else if (request.type !== MessageType.Link) request.reply();
    };
    await warden.features();
    await warden.container('foreign').info();
    const lane = server.requests.at(-1)!.connection;
    await leave();
    await until(() => server.open < server.accepted, 'the other one is closed');
    expect(server.sockets.has(lane)).toBe(true);
  });

  it('keeps no connection for a container that does not exist, or does not any more', async () => {
    await using quick = await connect({ path: server.path, idleTimeoutMs: 20 });
    const box = quick.container('foreign');
    await box.info();
    const lane = server.accepted;
    handler = (request) => request.refuse('unknown handle');
    expect(await codeOf(box.job(1).stream().next())).toBe('UNKNOWN_HANDLE');
    await until(() => !server.sockets.has(lane), 'the lane is closed');
    expect(await codeOf(box.info())).toBe('UNKNOWN_HANDLE');
    const next = server.accepted;
    await until(() => !server.sockets.has(next), 'the next lane is closed');
  });

  it('leaves the queue when the signal is aborted', async () => {
    await using small = await connect({ path: server.path, maxConnections: 1 });
    handler = () => undefined;
    const blocked = codeOf(small.ping());
    const controller = new AbortController();
    const link = codeOf(small.container('h').job(1).link({ signal: controller.signal }));
    controller.abort();
    expect(await link).toBe('ABORTED');
    await small.close();
    expect(await blocked).toBe('UNAVAILABLE');
  });

  it('rejects what waits on close, refuses later requests and leaves no socket', async () => {
    handler = () => undefined;
    const waiting = codeOf(warden.ping());
    await until(() => server.requests.length === 1, 'the ping arrived');
    await warden.close();
    await warden.close();
    expect(await waiting).toBe('UNAVAILABLE');
    expect(await codeOf(warden.ping())).toBe('UNAVAILABLE');
    await until(() => server.open === 0, 'all sockets are closed');
  });
});

describe('the event loop', () => {
  /** Sockets of this process that keep it alive. */
  const holding = (): number => process.getActiveResourcesInfo().filter((name) => name === 'PipeWrap').length;

  it('is held by a request that waits, never by an idle connection', async () => {
    // Afterwards one lane is open and idle, so that the next request opens nothing on the server's side.
    await warden.ping();
    await new Promise((resolve) => setTimeout(resolve, 20));
    const before = holding();
    let held: Arrived | undefined;
    handler = (request) => {
      held = request;
    };
    const ping = warden.ping();
    await until(() => held !== undefined, 'the ping arrived');
    expect(holding()).toBe(before + 1);
    held!.reply();
    await ping;
    expect(holding()).toBe(before);
  });
});
