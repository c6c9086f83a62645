/** The requests that the original's daemon does not know: each becomes the call it stands for. */
import type { ContainerEvent, FileStat, WardenMetrics } from '@warden/interface';
import { FEATURES, MessageType, REQUESTS } from '@warden/protocol';
import { describe, expect, it } from 'vitest';
import { type HostProgram, ProgrammableHost, SAMPLE_INFO } from './programmable-host.ts';
import { pause, startServer, TestClient, until } from './test-client.ts';

const bytes = (text: string): Uint8Array => new Uint8Array(Buffer.from(text));
const nothing = async (): Promise<void> => {};

async function* of<T>(...items: readonly T[]): AsyncGenerator<T, undefined, undefined> {
  yield* items;
  return undefined;
}

const STAT: FileStat = { type: 'file', mode: 0o644, uid: 1, gid: 2, size: 3n, modifiedNs: -4n };
const STAT_MESSAGE = { type: 'file', mode: 0o644, uid: 1, gid: 2, size: 3n, modified_ns: 2n ** 64n - 4n };
const METRICS: WardenMetrics = {
  containers: 1,
  jobs: 2,
  pools: [{ name: 'ports', used: 3, limit: 4 }],
  totals: { created: 5, destroyed: 6, exits: 7, outOfMemory: 8 },
  uptimeMs: 9,
  subscribers: 10,
};
const EVENT = { handle: 'h', time: 11, lost: 0 };

interface Mapping {
  readonly what: string;
  readonly type: keyof typeof MessageType;
  readonly request?: object;
  readonly program?: HostProgram;
  /** Expected, the signals that the server adds left out. */
  readonly calls: readonly (readonly [method: string, ...args: unknown[]])[];
  readonly answers: readonly object[];
}

const MAPPINGS: readonly Mapping[] = [
  { what: 'Features', type: 'Features', calls: [], answers: [{ features: FEATURES }] },
  {
    what: 'JobInput with an end',
    type: 'JobInput',
    request: { handle: 'h', job_id: 7, data: bytes('in'), end: true },
    program: { job: { write: nothing, endInput: nothing } },
    calls: [['write', bytes('in'), {}], ['endInput']],
    answers: [{}],
  },
  {
    what: 'JobPipes',
    type: 'JobPipes',
    request: { handle: 'h', job_id: 7 },
    program: {
      job: {
        pipes: async () => ({ pid: 5, stdout: { descriptor: 6, device: 7n, inode: 8n }, stderr: undefined }),
      },
    },
    calls: [['pipes']],
    answers: [{ pid: 5, stdout: { descriptor: 6, device: 7n, inode: 8n } }],
  },
  {
    what: 'JobResize',
    type: 'JobResize',
    request: { handle: 'h', job_id: 7, size: { rows: 24, columns: 80 } },
    program: { job: { resize: nothing } },
    calls: [['resize', { rows: 24, columns: 80 }]],
    answers: [{}],
  },
  {
    what: 'Pause',
    type: 'Pause',
    request: { handle: 'h' },
    program: { container: { pause: nothing } },
    calls: [['pause']],
    answers: [{}],
  },
  {
    what: 'Resume',
    type: 'Resume',
    request: { handle: 'h' },
    program: { container: { resume: nothing } },
    calls: [['resume']],
    answers: [{}],
  },
  {
    what: 'Properties, asked for',
    type: 'Properties',
    request: { handle: 'h' },
    program: { container: { properties: async () => ({ a: 'b' }) } },
    calls: [['properties']],
    answers: [{ properties: [{ name: 'a', value: 'b' }] }],
  },
  {
    what: 'Properties, changed',
    type: 'Properties',
    request: { handle: 'h', set: [{ name: 'a', value: 'b' }], remove: ['c'] },
    program: { container: { setProperties: async () => ({}) } },
    calls: [['setProperties', { a: 'b', c: undefined }]],
    answers: [{}],
  },
  {
    what: 'NetRules, asked for',
    type: 'NetRules',
    request: { handle: 'h' },
    program: {
      container: {
        netRules: async () => ({
          ports: [{ hostPort: 1, containerPort: 2 }],
          egress: [
            { protocol: 'udp', network: '192.0.2.0/24', portRange: '3:4', log: true },
            { protocol: 'icmp', domain: 'a.example', icmpType: 8, icmpCode: 0 },
            { port: 5 },
          ],
        }),
      },
    },
    calls: [['netRules']],
    answers: [
      {
        ports: [{ host_port: 1, container_port: 2 }],
        egress: [
          { protocol: 1, network: '192.0.2.0/24', port_range: '3:4', log: true },
          { protocol: 2, domain: 'a.example', icmp_type: 8, icmp_code: 0 },
          { protocol: 0, port: 5 },
        ],
      },
    ],
  },
  {
    what: 'NetRules, fewer',
    type: 'NetRules',
    request: {
      handle: 'h',
      remove_ports: [1, 2],
      remove_egress: [{ port: 3 }, { protocol: 3, network: '192.0.2.1', log: true, domain: 'a.example' }],
    },
    program: { container: { removeNetRules: async () => ({ ports: [], egress: [] }) } },
    calls: [
      [
        'removeNetRules',
        {
          ports: [1, 2],
          egress: [
            expect.objectContaining({ protocol: 'tcp', port: 3, log: false }),
            expect.objectContaining({
              protocol: 'all',
              network: '192.0.2.1',
              log: true,
              domain: 'a.example',
            }),
          ],
        },
      ],
    ],
    answers: [{}],
  },
  {
    what: 'InfoMany',
    type: 'InfoMany',
    request: { handles: ['h', 'i'], properties: [{ name: 'a', value: 'b' }] },
    program: {
      warden: {
        infoMany: async () => [
          { handle: 'h', info: { ...SAMPLE_INFO, jobIds: [], properties: { a: 'b' }, paused: true } },
          { handle: 'i', error: { code: 'UNKNOWN_HANDLE', message: 'unknown handle' } },
        ],
      },
    },
    calls: [['infoMany', { handles: ['h', 'i'], properties: { a: 'b' } }]],
    answers: [
      {
        reports: [
          {
            handle: 'h',
            info: expect.objectContaining({
              state: 'active',
              paused: true,
              properties: [{ name: 'a', value: 'b' }],
            }),
          },
          { handle: 'i', error_code: 'UNKNOWN_HANDLE', error_message: 'unknown handle' },
        ],
      },
      { end: true },
    ],
  },
  {
    what: 'Metrics',
    type: 'Metrics',
    program: { warden: { metrics: async () => METRICS } },
    calls: [['metrics']],
    answers: [
      {
        ...{ containers: 1, jobs: 2, pools: [{ name: 'ports', used: 3, limit: 4 }] },
        ...{ created_total: 5n, destroyed_total: 6n, exits_total: 7n, out_of_memory_total: 8n },
        ...{ uptime_ms: 9n, subscribers: 10 },
      },
    ],
  },
  {
    what: 'Events of every kind',
    type: 'Events',
    request: { handle: 'h', types: ['exit'], properties: [{ name: 'a', value: 'b' }] },
    program: {
      warden: {
        events: async () =>
          of<ContainerEvent>(
            { ...EVENT, type: 'created' },
            { ...EVENT, type: 'exit', jobId: 7, exitStatus: 255, verdict: { reason: 'signal', signal: 9 } },
            { ...EVENT, lost: 3, type: 'limit', limit: 'cpu', value: 12n },
            { ...EVENT, type: 'output-limit', jobId: 8 },
            {
              ...EVENT,
              type: 'network-denied',
              protocol: 'tcp',
              destination: '192.0.2.1',
              port: 443,
              count: 2,
            },
            { ...EVENT, type: 'network-denied', protocol: 'dns', name: 'other.example', count: 1 },
          ),
      },
    },
    calls: [['events', { handle: 'h', types: ['exit'], properties: { a: 'b' } }]],
    answers: [
      {},
      { type: 'created', handle: 'h', time: 11n },
      {
        ...{ type: 'exit', handle: 'h', time: 11n, job_id: 7 },
        ...{ exit_status: 255, exit_reason: 'signal', exit_signal: 9 },
      },
      { type: 'limit', handle: 'h', time: 11n, lost: 3, limit: 'cpu', value: 12n },
      { type: 'output-limit', handle: 'h', time: 11n, job_id: 8 },
      {
        ...{ type: 'network-denied', handle: 'h', time: 11n, protocol: 'tcp' },
        ...{ destination: '192.0.2.1', port: 443, count: 2 },
      },
      {
        ...{ type: 'network-denied', handle: 'h', time: 11n, protocol: 'dns' },
        ...{ name: 'other.example', count: 1 },
      },
      { end: true },
    ],
  },
  {
    what: 'Files: stat',
    type: 'Files',
    request: { handle: 'h', operation: 'stat', path: '/a' },
    program: { files: { stat: async () => STAT } },
    calls: [['stat', '/a', { privileged: false }]],
    answers: [{ entries: [STAT_MESSAGE] }, { end: true }],
  },
  {
    what: 'Files: list',
    type: 'Files',
    request: { handle: 'h', operation: 'list', path: '/a', privileged: true },
    program: { files: { list: () => of({ name: 'x', ...STAT, type: 'symlink', linkTarget: 'y' } as const) } },
    calls: [['list', '/a', { privileged: true }]],
    answers: [
      { entries: [{ name: 'x', ...STAT_MESSAGE, type: 'symlink', link_target: 'y' }] },
      { end: true },
    ],
  },
  {
    what: 'Files: read',
    type: 'Files',
    request: { handle: 'h', operation: 'read', path: '/a', offset: 1n, length: 2n },
    program: { files: { read: () => of(bytes('x'), bytes('y')) } },
    calls: [['read', '/a', { privileged: false, offset: 1n, length: 2n }]],
    answers: [{ data: bytes('x') }, { data: bytes('y') }, { end: true }],
  },
  {
    what: 'Files: watch',
    type: 'Files',
    request: { handle: 'h', operation: 'watch', path: '/a' },
    program: { files: { watch: async () => of({ kind: 'created', name: 'x' } as const) } },
    calls: [['watch', '/a', { privileged: false }]],
    answers: [
      { changes: [{ kind: 'watching' }] },
      { changes: [{ kind: 'created', name: 'x' }] },
      { end: true },
    ],
  },
  {
    what: 'Files: read-tar',
    type: 'Files',
    request: { handle: 'h', operation: 'read-tar', path: '/a' },
    program: { files: { readTar: () => of(bytes('tar')) } },
    calls: [['readTar', '/a', { privileged: false }]],
    answers: [{ data: bytes('tar') }, { end: true }],
  },
];

/** Signals are the server's own. */
function withoutSignal(value: unknown): unknown {
  if (typeof value !== 'object' || value === null || !('signal' in value)) return value;
  const { signal: _, ...others } = value;
  return others;
}

describe('requests of the extension', () => {
  it('has a test for each', () => {
    const uploads = [MessageType.Upload, MessageType.UploadData, MessageType.UploadEnd];
    // with a store behind them: test/integration/src/images.test.ts
    const { ImageList, ImageImport, ImagePull, ImageRemove, ImageCollect, Snapshot } = MessageType;
    const images = [ImageList, ImageImport, ImagePull, ImageRemove, ImageCollect, Snapshot];
    const tested = new Set([...MAPPINGS.map(({ type }) => MessageType[type]), ...uploads, ...images]);
    const extensions = Object.keys(REQUESTS).filter((type) => Number(type) > MessageType.JobSignal);
    expect([...tested].map(String).sort()).toEqual(extensions.sort());
  });

  it.each(MAPPINGS)('$what', async ({ type, request = {}, program, calls, answers }) => {
    const host = new ProgrammableHost(program);
    const { path } = await startServer(host);
    const client = await TestClient.connect(path);
    client.send(MessageType[type], request);
    for (const expected of answers) {
      const answer = await client.next();
      expect(answer.type).toBe(MessageType[type]);
      expect(answer.payload).toEqual(expected);
    }
    const called = host.calls.map(({ method, args }) => [method, ...args.map(withoutSignal)]);
    expect(called).toEqual(calls);
  });

  it('takes a label of any name, also one that objects have by themselves', async () => {
    const host = new ProgrammableHost({ warden: { list: async () => [] } });
    const { path } = await startServer(host);
    const client = await TestClient.connect(path);
    await client.ask(MessageType.List, { properties: [{ name: '__proto__', value: 'x' }] });
    const [{ properties }] = host.calls[0]!.args as [{ properties: object }];
    expect(Object.entries(properties)).toEqual([['__proto__', 'x']]);
  });

  it('refuses a file operation that it does not know', async () => {
    const { path } = await startServer(new ProgrammableHost());
    const client = await TestClient.connect(path);
    for (const type of [MessageType.Files, MessageType.Upload]) {
      const answer = await client.ask(type, { handle: 'h', operation: 'format', path: '/' });
      expect(JSON.parse(answer.payload.data)).toMatchObject({ code: 'UNSUPPORTED' });
    }
  });
});

describe('InfoMany', () => {
  const handles = Array.from({ length: 70 }, (_, at) => `h${at}`);
  type Asked = { readonly handles?: readonly string[] };

  it('tells of each container once however often it is named, some at a time [protocol-extensions]', async () => {
    const infoMany = async ({ handles: asked = [] }: Asked = {}) =>
      asked.map((handle) => ({ handle, error: { code: 'UNKNOWN_HANDLE' as const, message: 'unknown' } }));
    const host = new ProgrammableHost({ warden: { infoMany } });
    const { path } = await startServer(host);
    const client = await TestClient.connect(path);
    client.send(MessageType.InfoMany, { handles: [...handles, ...Array(9_000).fill('h0')] });
    const told: string[] = [];
    for (;;) {
      const { payload } = await client.next();
      if (payload.end === true) break;
      told.push(...payload.reports.map(({ handle }: { handle: string }) => handle));
    }
    expect(told).toEqual(handles);
    expect(host.calls.map(({ args }) => (args[0] as Asked).handles?.length)).toEqual([64, 6]);
  });

  it('without names tells of those that are there, but for those that went meanwhile', async () => {
    const infoMany = async ({ handles: asked = [] }: Asked = {}) =>
      asked.map((handle) =>
        handle === 'h3'
          ? { handle, error: { code: 'UNKNOWN_HANDLE' as const, message: 'unknown' } }
          : { handle, info: SAMPLE_INFO },
      );
    const host = new ProgrammableHost({ warden: { infoMany, list: async () => ['h1', 'h3', 'h2'] } });
    const { path } = await startServer(host);
    const client = await TestClient.connect(path);
    client.send(MessageType.InfoMany, { properties: [{ name: 'a', value: 'b' }] });
    const { payload } = await client.next();
    expect(payload.reports.map(({ handle }: { handle: string }) => handle)).toEqual(['h1', 'h2']);
    expect((await client.next()).payload).toEqual({ end: true });
    expect(host.calls[0]).toMatchObject({ method: 'list', args: [{ properties: { a: 'b' } }] });
  });

  it('looks at no more containers once the client has gone', async () => {
    let goOn = (): void => {};
    const gate = new Promise<void>((resolve) => {
      goOn = resolve;
    });
    const infoMany = async () => {
      await gate;
      return [];
    };
    const host = new ProgrammableHost({ warden: { infoMany } });
    const { path, server } = await startServer(host);
    const client = await TestClient.connect(path);
    client.send(MessageType.InfoMany, { handles });
    await until(() => host.calls.length === 1, 'the first look');
    client.socket.destroy();
    await pause(50);
    goOn();
    await until(() => server.connectionCount === 0, 'the end of the connection');
    await pause(20);
    expect(host.calls).toHaveLength(1);
  });
});

describe('an upload', () => {
  /** A host whose `write` keeps what it gets, or fails after the first piece. */
  function uploadHost(options: { readonly fails?: boolean } = {}): {
    readonly host: ProgrammableHost;
    readonly got: string[];
    readonly ends: string[];
  } {
    const got: string[] = [];
    const ends: string[] = [];
    const write = async (_path: string, content: unknown): Promise<void> => {
      try {
        for await (const piece of content as AsyncIterable<Uint8Array>) {
          got.push(Buffer.from(piece).toString());
          if (options.fails) throw new Error('the disk is full');
        }
        ends.push('whole');
      } catch (error) {
        ends.push((error as Error).message);
        throw error;
      }
    };
    return { host: new ProgrammableHost({ files: { write, writeTar: write } as never }), got, ends };
  }
  const begin = { handle: 'h', operation: 'write', path: '/a', mode: 0o600, privileged: true };

  it('gives its bytes to one call, and is whole with its end', async () => {
    const { host, got, ends } = uploadHost();
    const { path } = await startServer(host);
    const client = await TestClient.connect(path);
    await client.ask(MessageType.Upload, begin);
    for (const piece of ['a', 'b']) await client.ask(MessageType.UploadData, { data: bytes(piece) });
    expect(ends).toEqual([]);
    expect((await client.ask(MessageType.UploadEnd, { commit: true })).payload).toEqual({});
    expect([got, ends]).toEqual([['a', 'b'], ['whole']]);
    expect(withoutSignal(host.calls[0]?.args[2])).toEqual({ privileged: true, mode: 0o600 });
    // and the connection takes another one
    await client.ask(MessageType.Upload, { ...begin, operation: 'write-tar' });
    await client.ask(MessageType.UploadEnd, { commit: true });
    expect(host.calls[1]?.method).toBe('writeTar');
  });

  it('is dropped without an end: asked for, or with the connection', async () => {
    const { host, ends } = uploadHost();
    const { path } = await startServer(host);
    const first = await TestClient.connect(path);
    await first.ask(MessageType.Upload, begin);
    await first.ask(MessageType.UploadData, { data: bytes('a') });
    await first.ask(MessageType.UploadEnd, {});
    expect(ends).toEqual(['the client gave the upload up']);
    await first.ask(MessageType.Upload, begin);
    first.socket.destroy();
    await until(() => ends.length === 2, 'the end of the second');
    expect(ends[1]).toBe('the client gave the upload up');
  });

  it('ends with the connection also while the container takes nothing, and holds no drain up', async () => {
    const ends: unknown[] = [];
    const write = (_path: string, _content: unknown, { signal }: { signal: AbortSignal }): Promise<void> =>
      new Promise((_resolve, reject) => {
        signal.addEventListener('abort', () => {
          ends.push(signal.reason);
          reject(signal.reason);
        });
      });
    const { server, path } = await startServer(new ProgrammableHost({ files: { write } as never }));
    const stuck = async (): Promise<TestClient> => {
      const client = await TestClient.connect(path);
      await client.ask(MessageType.Upload, begin);
      client.send(MessageType.UploadData, { data: bytes('a') });
      return client;
    };
    const first = await stuck();
    await pause(20);
    first.socket.destroy();
    await until(() => ends.length === 1, 'the end of the first');
    const second = await stuck();
    await pause(20);
    await server.drain();
    await second.ended();
    await until(() => ends.length === 2, 'the end of the second');
    expect(second.answers.map(({ type }) => type)).toEqual([MessageType.Upload]);
  });

  it('tells a failure at the next piece, or at the end', async () => {
    const { host } = uploadHost({ fails: true });
    const { path } = await startServer(host);
    const client = await TestClient.connect(path);
    await client.ask(MessageType.Upload, begin);
    const answer = await client.ask(MessageType.UploadData, { data: bytes('a') });
    expect(answer.payload.message).toContain('the disk is full');
    // it is over: what comes now belongs to nothing
    const next = await client.ask(MessageType.UploadData, { data: bytes('b') });
    expect(JSON.parse(next.payload.data)).toMatchObject({ code: 'BAD_STATE' });
  });

  it('tells a failure also of who never took the piece that waits', async () => {
    let fail = (): void => {};
    const gate = new Promise<void>((resolve) => {
      fail = resolve;
    });
    const write = async (): Promise<void> => {
      await gate;
      throw new Error('the container is gone');
    };
    const { path } = await startServer(new ProgrammableHost({ files: { write } as never }));
    const client = await TestClient.connect(path);
    await client.ask(MessageType.Upload, begin);
    client.send(MessageType.UploadData, { data: bytes('a') });
    await pause(50);
    expect(client.answers).toHaveLength(1);
    fail();
    expect((await client.next()).payload.message).toContain('the container is gone');
  });

  it('refuses a second one at the same time, and pieces of none', async () => {
    const { host } = uploadHost();
    const { path } = await startServer(host);
    const client = await TestClient.connect(path);
    const none = await client.ask(MessageType.UploadEnd, { commit: true });
    expect(JSON.parse(none.payload.data)).toMatchObject({ code: 'BAD_STATE' });
    await client.ask(MessageType.Upload, begin);
    const second = await client.ask(MessageType.Upload, begin);
    expect(JSON.parse(second.payload.data)).toMatchObject({ code: 'BAD_STATE' });
  });
});
