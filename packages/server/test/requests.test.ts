import type { Container, Job } from '@warden/interface';
import { MessageType, REQUESTS } from '@warden/protocol';
import { describe, expect, it } from 'vitest';
import { HANDLERS } from '../src/requests.ts';
import { type HostProgram, JOB_INFO, ProgrammableHost, SAMPLE_INFO } from './programmable-host.ts';
import { startServer, TestClient } from './test-client.ts';

const bytes = (text: string): Uint8Array => new Uint8Array(Buffer.from(text));
const nothing = async (): Promise<void> => {};
const JOB_INFO_MESSAGE = { state: 'stopped' };
const RESULT = { exitStatus: 0, stdout: bytes('out'), stderr: bytes(''), info: JOB_INFO };
const RESULT_MESSAGE = { exit_status: 0, stdout: bytes('out'), stderr: bytes(''), info: JOB_INFO_MESSAGE };
const SPAWN_DEFAULTS = {
  privileged: false,
  rlimits: {},
  discardOutput: false,
  logTag: undefined,
  trackTree: false,
};
const NET_OUT_DEFAULTS = {
  network: undefined,
  port: undefined,
  portRange: undefined,
  protocol: 'tcp',
  icmpType: undefined,
  icmpCode: undefined,
  log: false,
};
const CREATE_DEFAULTS = {
  bindMounts: [],
  graceTime: undefined,
  handle: undefined,
  network: undefined,
  rootfs: undefined,
};
const DISK = { blockSoft: 1n, blockHard: 2n, inodeSoft: 3n, inodeHard: 4n };
const MAX_UINT64 = 2n ** 64n - 1n;

interface Mapping {
  readonly what: string;
  readonly type: keyof typeof MessageType;
  readonly request?: object;
  readonly program: HostProgram;
  readonly call: { readonly method: string; readonly args: readonly unknown[]; readonly job?: number };
  readonly response: object;
}

const created = async (spec?: { handle?: string | undefined }): Promise<Container> =>
  ({ handle: spec?.handle ?? 'generated' }) as Container;
const spawned = async (): Promise<Job> => ({ id: 7, link: async () => RESULT }) as unknown as Job;

const MAPPINGS: readonly Mapping[] = [
  {
    what: 'Ping',
    type: 'Ping',
    program: { warden: { ping: nothing } },
    call: { method: 'ping', args: [] },
    response: {},
  },
  {
    what: 'Echo of bytes that are no text',
    type: 'Echo',
    request: { message: Uint8Array.of(0xff, 0, 0xfe) },
    program: { warden: { echo: async (message) => message } },
    call: { method: 'echo', args: [Uint8Array.of(0xff, 0, 0xfe)] },
    response: { message: Uint8Array.of(0xff, 0, 0xfe) },
  },
  {
    what: 'List',
    type: 'List',
    program: { warden: { list: async () => ['a', 'b'] } },
    call: { method: 'list', args: [] },
    response: { handles: ['a', 'b'] },
  },
  {
    what: 'an empty List',
    type: 'List',
    program: { warden: { list: async () => [] } },
    call: { method: 'list', args: [] },
    response: {},
  },
  {
    what: 'an empty Create',
    type: 'Create',
    program: { warden: { create: created } },
    call: { method: 'create', args: [CREATE_DEFAULTS] },
    response: { handle: 'generated' },
  },
  {
    what: 'a full Create, grace time zero',
    type: 'Create',
    request: {
      bind_mounts: [
        { src_path: '/a', dst_path: '/b', mode: 0 },
        { src_path: '/c', dst_path: '/d', mode: 1 },
      ],
      grace_time: 0,
      handle: 'h',
      network: '10.254.0.5',
      rootfs: '/rootfs',
    },
    program: { warden: { create: created } },
    call: {
      method: 'create',
      args: [
        {
          bindMounts: [
            { source: '/a', target: '/b', mode: 'ro' },
            { source: '/c', target: '/d', mode: 'rw' },
          ],
          graceTime: 0,
          handle: 'h',
          network: '10.254.0.5',
          rootfs: '/rootfs',
        },
      ],
    },
    response: { handle: 'h' },
  },
  {
    what: 'a Create whose handle is no UTF-8',
    type: 'Create',
    request: { handle: '\udcff\udcc3x' },
    program: { warden: { create: created } },
    call: { method: 'create', args: [{ ...CREATE_DEFAULTS, handle: '\udcff\udcc3x' }] },
    response: { handle: '\udcff\udcc3x' },
  },
  {
    what: 'Stop without flags',
    type: 'Stop',
    request: { handle: 'h' },
    program: { container: { stop: nothing } },
    call: { method: 'stop', args: [{ background: false, kill: false }] },
    response: {},
  },
  {
    what: 'Stop with both flags',
    type: 'Stop',
    request: { handle: 'h', background: true, kill: true },
    program: { container: { stop: nothing } },
    call: { method: 'stop', args: [{ background: true, kill: true }] },
    response: {},
  },
  {
    what: 'Destroy',
    type: 'Destroy',
    request: { handle: 'h' },
    program: { container: { destroy: nothing } },
    call: { method: 'destroy', args: [] },
    response: {},
  },
  {
    what: 'Info with ended jobs',
    type: 'Info',
    request: { handle: 'h' },
    program: {
      container: {
        info: async () => ({
          ...JOB_INFO,
          endedJobs: [
            { id: 1, exitStatus: 0, verdict: { reason: 'exited' } },
            { id: 2, exitStatus: 255, verdict: { reason: 'exited' } },
            { id: 3, exitStatus: 255, verdict: { reason: 'signal', signal: 9 } },
            { id: 4, exitStatus: 255 },
          ],
        }),
      },
    },
    call: { method: 'info', args: [] },
    response: {
      ...JOB_INFO_MESSAGE,
      ended_jobs: [
        { job_id: 1, exit_status: 0 },
        { job_id: 2, exit_status: 255, exit_reason: 'exited' },
        { job_id: 3, exit_status: 255, exit_reason: 'signal', exit_signal: 9 },
        { job_id: 4, exit_status: 255 },
      ],
    },
  },
  {
    what: 'Info',
    type: 'Info',
    request: { handle: 'h' },
    program: { container: { info: async () => SAMPLE_INFO } },
    call: { method: 'info', args: [] },
    response: {
      state: 'active',
      events: ['out of memory'],
      host_ip: '10.254.0.1',
      container_ip: '10.254.0.2',
      container_path: '/var/lib/warden/abc',
      memory_stat: { cache: 0n, total_unevictable: 7n },
      cpu_stat: { usage: 1n, user: 2n, system: 3n },
      disk_stat: { bytes_used: 4n, inodes_used: 5n },
      bandwidth_stat: { in_rate: 6n, in_burst: 7n, out_rate: 8n, out_burst: 9n },
      pressure_stat: {
        cpu: { some_avg10: 7, some_avg60: 1234, some_avg300: 10_000, some_total: 5n },
        io: {
          some_avg10: 0,
          some_avg60: 0,
          some_avg300: 0,
          some_total: 1n,
          full_avg10: 50,
          full_avg60: 0,
          full_avg300: 0,
          full_total: 1n,
        },
      },
      job_ids: [1n, 300n],
    },
  },
  {
    what: 'Spawn',
    type: 'Spawn',
    request: { handle: 'h', script: Uint8Array.of(0xff) },
    program: { container: { spawn: spawned } },
    call: { method: 'spawn', args: [Uint8Array.of(0xff), SPAWN_DEFAULTS] },
    response: { job_id: 7 },
  },
  {
    what: 'Spawn with live output',
    type: 'Spawn',
    request: { handle: 'h', script: Uint8Array.of(0xff), live_output: true },
    program: { container: { spawn: spawned } },
    call: { method: 'spawn', args: [Uint8Array.of(0xff), { ...SPAWN_DEFAULTS, output: 'live' }] },
    response: { job_id: 7 },
  },
  {
    what: 'Spawn with every option',
    type: 'Spawn',
    request: {
      handle: 'h',
      script: bytes('true'),
      privileged: true,
      rlimits: { core: 0n, nofile: MAX_UINT64 },
      discard_output: true,
      log_tag: 'tag',
      track_tree: true,
    },
    program: { container: { spawn: spawned } },
    call: {
      method: 'spawn',
      args: [
        bytes('true'),
        {
          privileged: true,
          rlimits: { core: 0n, nofile: MAX_UINT64 },
          discardOutput: true,
          logTag: 'tag',
          trackTree: true,
        },
      ],
    },
    response: { job_id: 7 },
  },
  {
    what: 'Run is spawn and link',
    type: 'Run',
    request: { handle: 'h', script: bytes('true') },
    program: { container: { spawn: spawned } },
    call: { method: 'spawn', args: [bytes('true'), { ...SPAWN_DEFAULTS, awaited: true }] },
    response: RESULT_MESSAGE,
  },
  {
    what: 'Link',
    type: 'Link',
    request: { handle: 'h', job_id: 4294967295 },
    program: { job: { link: async () => RESULT } },
    call: {
      method: 'link',
      args: [{ signal: expect.any(AbortSignal), taken: expect.any(Promise) }],
      job: 4294967295,
    },
    response: RESULT_MESSAGE,
  },
  {
    what: 'Stream without output',
    type: 'Stream',
    request: { handle: 'h', job_id: 1 },
    program: {
      job: {
        // biome-ignore lint/correctness/useYield: a job without output
        stream: async function* () {
          return { exitStatus: 0, info: JOB_INFO };
        },
      },
    },
    call: {
      method: 'stream',
      args: [
        {
          signal: expect.any(AbortSignal),
          relay: expect.objectContaining({ ready: expect.any(Function) }),
          taken: expect.any(Promise),
        },
      ],
      job: 1,
    },
    response: { exit_status: 0, info: JOB_INFO_MESSAGE },
  },
  {
    what: 'JobSignal by default',
    type: 'JobSignal',
    request: { handle: 'h', job_id: 1 },
    program: { job: { kill: nothing } },
    call: { method: 'kill', args: [{}], job: 1 },
    response: {},
  },
  {
    what: 'JobSignal with a signal, not to the tree',
    type: 'JobSignal',
    request: { handle: 'h', job_id: 1, signal: 15, tree: false },
    program: { job: { kill: nothing } },
    call: { method: 'kill', args: [{ signal: 15, tree: false }], job: 1 },
    response: {},
  },
  {
    what: 'NetIn without ports',
    type: 'NetIn',
    request: { handle: 'h' },
    program: { container: { netIn: async () => ({ hostPort: 61001, containerPort: 61002 }) } },
    call: { method: 'netIn', args: [{ hostPort: undefined, containerPort: undefined }] },
    response: { host_port: 61001, container_port: 61002 },
  },
  {
    what: 'NetIn with ports, zero kept',
    type: 'NetIn',
    request: { handle: 'h', container_port: 80, host_port: 0 },
    program: { container: { netIn: async () => ({ hostPort: 8080, containerPort: 80 }) } },
    call: { method: 'netIn', args: [{ hostPort: 0, containerPort: 80 }] },
    response: { host_port: 8080, container_port: 80 },
  },
  {
    what: 'NetOut of a port',
    type: 'NetOut',
    request: { handle: 'h', port: 53 },
    program: { container: { netOut: nothing } },
    call: { method: 'netOut', args: [{ ...NET_OUT_DEFAULTS, port: 53 }] },
    response: {},
  },
  {
    what: 'NetOut with every field',
    type: 'NetOut',
    request: {
      handle: 'h',
      network: '10.0.0.1/32',
      port: 0,
      port_range: '1:2',
      protocol: 2,
      icmp_type: -1,
      icmp_code: 0,
      log: true,
    },
    program: { container: { netOut: nothing } },
    call: {
      method: 'netOut',
      args: [
        {
          network: '10.0.0.1/32',
          port: 0,
          portRange: '1:2',
          protocol: 'icmp',
          icmpType: -1,
          icmpCode: 0,
          log: true,
        },
      ],
    },
    response: {},
  },
  ...(['tcp', 'udp', 'icmp', 'all'] as const).map(
    (protocol, number): Mapping => ({
      what: `NetOut protocol ${number} is ${protocol}`,
      type: 'NetOut',
      request: { handle: 'h', network: '1.1.1.1', protocol: number },
      program: { container: { netOut: nothing } },
      call: { method: 'netOut', args: [{ ...NET_OUT_DEFAULTS, network: '1.1.1.1', protocol }] },
      response: {},
    }),
  ),
  {
    what: 'CopyIn',
    type: 'CopyIn',
    request: { handle: 'h', src_path: '/host/', dst_path: '/inside' },
    program: { container: { copyIn: nothing } },
    call: { method: 'copyIn', args: ['/host/', '/inside'] },
    response: {},
  },
  ...[undefined, '', 'me:us'].map(
    (owner): Mapping => ({
      what: `CopyOut with owner ${JSON.stringify(owner)}`,
      type: 'CopyOut',
      request: { handle: 'h', src_path: '/inside', dst_path: '/host', owner },
      program: { container: { copyOut: nothing } },
      call: { method: 'copyOut', args: ['/inside', '/host', owner] },
      response: {},
    }),
  ),
  ...[undefined, 0n, MAX_UINT64].flatMap((value): Mapping[] => [
    {
      what: `LimitMemory of ${value}`,
      type: 'LimitMemory',
      request: { handle: 'h', limit_in_bytes: value },
      program: { container: { limitMemory: async () => 0n } },
      call: { method: 'limitMemory', args: [value] },
      response: { limit_in_bytes: 0n },
    },
    {
      what: `LimitCpu of ${value}`,
      type: 'LimitCpu',
      request: { handle: 'h', limit_in_shares: value },
      program: { container: { limitCpu: async () => 2n } },
      call: { method: 'limitCpu', args: [value] },
      response: { limit_in_shares: 2n },
    },
  ]),
  {
    what: 'LimitDisk while quotas are off',
    type: 'LimitDisk',
    request: { handle: 'h', byte: 5n },
    program: { container: { limitDisk: async () => undefined } },
    call: { method: 'limitDisk', args: [{ blockHard: 1n }] },
    response: {},
  },
  ...diskMappings(),
  {
    what: 'LimitBandwidth',
    type: 'LimitBandwidth',
    request: { handle: 'h', rate: 1000n, burst: 0n },
    program: { container: { limitBandwidth: nothing } },
    call: { method: 'limitBandwidth', args: [{ rate: 1000n, burst: 0n }] },
    response: { rate: 1000n, burst: 0n },
  },
];

/** The precedence of protocol.md 8, the later wins; bytes are rounded up to blocks. */
function diskMappings(): Mapping[] {
  const cases: [object, object][] = [
    [{}, {}],
    [{ byte_limit: 1025n }, { blockHard: 2n }],
    [{ byte_limit: 1n, byte: 1025n }, { blockHard: 2n }],
    [{ byte: 1n, byte_hard: 2049n }, { blockHard: 3n }],
    [{ byte_hard: 1n, block_limit: 9n }, { blockHard: 9n }],
    [{ block_limit: 9n, block: 10n }, { blockHard: 10n }],
    [{ block: 10n, block_hard: 0n }, { blockHard: 0n }],
    [{ byte_soft: 1024n }, { blockSoft: 1n }],
    [{ byte_soft: 1024n, block_soft: 0n }, { blockSoft: 0n }],
    [{ inode_limit: 1n, inode: 2n }, { inodeHard: 2n }],
    [
      { inode: 2n, inode_hard: 3n, inode_soft: 0n },
      { inodeHard: 3n, inodeSoft: 0n },
    ],
  ];
  const response = {
    ...{ block_limit: 2n, block: 2n, block_soft: 1n, block_hard: 2n },
    ...{ inode_limit: 4n, inode: 4n, inode_soft: 3n, inode_hard: 4n },
    ...{ byte_limit: 2048n, byte: 2048n, byte_soft: 1024n, byte_hard: 2048n },
  };
  return cases.map(([request, spec]) => ({
    what: `LimitDisk of ${Object.entries(request).join(' ')}`,
    type: 'LimitDisk',
    request: { handle: 'h', ...request },
    program: { container: { limitDisk: async () => DISK } },
    call: { method: 'limitDisk', args: [spec] },
    response,
  }));
}

describe('requests', () => {
  it('has a function for every request of the protocol, and a mapping test for each', () => {
    expect(Object.keys(HANDLERS).sort()).toEqual(Object.keys(REQUESTS).sort());
    const tested = new Set(MAPPINGS.map(({ type }) => String(MessageType[type])));
    // those of the extensions are in extension-requests.test.ts
    const own = Object.keys(REQUESTS).filter((type) => Number(type) <= MessageType.JobSignal);
    expect([...tested].sort()).toEqual(own.sort());
  });

  it.each(MAPPINGS)('$what', async ({ type, request = {}, program, call, response }) => {
    const host = new ProgrammableHost(program);
    const { path } = await startServer(host);
    const client = await TestClient.connect(path);
    const answer = await client.ask(MessageType[type], request);
    expect(answer.payload).toEqual(response);
    expect(answer.type).toBe(MessageType[type]);
    const handle = (request as { handle?: string }).handle;
    expect(host.calls).toStrictEqual([
      { ...call, ...(handle === undefined || type === 'Create' ? {} : { handle }) },
    ]);
  });

  it('refuses an unknown protocol number of NetOut without calling the engine', async () => {
    const host = new ProgrammableHost();
    const { path } = await startServer(host);
    const client = await TestClient.connect(path);
    // protocol 9, which the encoder would refuse: handle "h", field 5 = 9
    client.write(Uint8Array.of(0x39, 0x0d, 0x0a, 8, 32, 18, 5, 10, 1, 0x68, 40, 9, 0x0d, 0x0a));
    const answer = await client.next();
    expect(answer.payload.message).toContain('unknown protocol number: 9');
    expect(JSON.parse(answer.payload.data)).toMatchObject({ code: 'INVALID_SPEC', object: 9 });
    expect(host.calls).toEqual([]);
  });
});
