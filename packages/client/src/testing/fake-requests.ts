/** What the fake does with each message that has one answer. */
import type { Properties } from '@warden/interface';
import { WardenError } from '@warden/interface';
import {
  type CreateRequest,
  FEATURES,
  type InfoResponse,
  type JobInputRequest,
  type JobResizeRequest,
  type JobSignalRequest,
  type LimitBandwidthRequest,
  type LimitCpuRequest,
  type LimitMemoryRequest,
  type LinkRequest,
  MessageType,
  type NetInRequest,
  type NetOutRequest,
  type NetRulesRequest,
  type PropertiesRequest,
  type PublishedPort,
  type RunRequest,
  type SpawnRequest,
} from '@warden/protocol';
import { propertiesOf } from '../answer-values.ts';
import { checkTerminal, type FakeContainer, type FakeDaemon } from './fake-daemon.ts';
import type { FakeEnd, FakeJob } from './fake-job.ts';
import { fakeRule, isSameRule } from './fake-net-rules.ts';

/** Who asks, and how long. */
export interface FakeCall {
  readonly daemon: FakeDaemon;
  /** The session, as the one that references. */
  readonly session: object;
  readonly signal: AbortSignal | undefined;
}

type FakeHandler = (call: FakeCall, request: never) => object | Promise<object>;

/** By type number. */
export const FAKE_HANDLERS: Readonly<Record<number, FakeHandler>> = {
  [MessageType.Ping]: () => ({}),
  [MessageType.Echo]: (_call, { message }: { message: Uint8Array }) => ({ message }),
  [MessageType.Features]: () => ({ features: FEATURES }),
  [MessageType.JobPipes]: () => {
    throw new WardenError('UNSUPPORTED', 'the jobs of the fake have no pipes', {
      fields: { operation: 'read the pipes' },
    });
  },
  [MessageType.List]: ({ daemon }, { properties }: CreateRequest) => ({
    handles: [...daemon.containers.values()]
      .filter((one) => has(one.properties, propertiesOf(properties)))
      .map(({ handle }) => handle),
  }),
  [MessageType.Create]: ({ daemon, session }, request: CreateRequest) => {
    const container = daemon.create(request.handle, request.grace_time, propertiesOf(request.properties));
    daemon.reference(container, session);
    return { handle: container.handle };
  },
  [MessageType.Stop]: async (call, { handle }: LinkRequest) => {
    await call.daemon.stop(find(call, handle));
    return {};
  },
  [MessageType.Destroy]: async (call, { handle }: LinkRequest) => {
    await call.daemon.destroy(find(call, handle));
    return {};
  },
  [MessageType.Info]: (call, { handle }: LinkRequest) => fakeCurrentInfo(find(call, handle)),
  [MessageType.Spawn]: (call, request: SpawnRequest) => ({ job_id: spawn(call, request).id }),
  [MessageType.Run]: async (call, request: RunRequest) => result(call, request.handle, spawn(call, request)),
  [MessageType.Link]: (call, { handle, job_id }: LinkRequest) =>
    result(call, handle, find(call, handle).job(job_id)),
  [MessageType.JobSignal]: (call, { handle, job_id, signal = 9, reason }: JobSignalRequest) => {
    const container = find(call, handle);
    const job = container.job(job_id);
    if (!job.hasEnded) container.requireRunning();
    job.kill(signal, reason === 'timeout' ? 'timeout' : undefined);
    return {};
  },
  [MessageType.JobInput]: async (call, { handle, job_id, data, end }: JobInputRequest) => {
    const container = find(call, handle);
    const job = container.job(job_id);
    if (!job.hasEnded) container.requireRunning();
    if (data !== undefined && data.length > 0) await job.write(data, call.signal);
    if (end === true) job.endInput();
    return {};
  },
  [MessageType.JobResize]: (call, { handle, job_id, size }: JobResizeRequest) => {
    const job = find(call, handle).job(job_id);
    checkTerminal(size);
    job.resize(size);
    return {};
  },
  [MessageType.Pause]: (call, { handle }: LinkRequest) => setPaused(call, handle, true),
  [MessageType.Resume]: (call, { handle }: LinkRequest) => setPaused(call, handle, false),
  [MessageType.Properties]: (call, { handle, set, remove = [] }: PropertiesRequest) => {
    const after = call.daemon.changeProperties(find(call, handle), propertiesOf(set), remove);
    return { properties: messages(after) };
  },
  [MessageType.Metrics]: ({ daemon }) => {
    const jobs = [...daemon.containers.values()].flatMap(({ jobs: all }) => [...all.values()]);
    return {
      containers: daemon.containers.size,
      jobs: jobs.filter(({ hasEnded }) => !hasEnded).length,
      pools: [{ name: 'ports', used: daemon.ports.size, limit: PORTS }],
      created_total: daemon.totals.created,
      destroyed_total: daemon.totals.destroyed,
      exits_total: daemon.totals.exits,
      uptime_ms: BigInt(Math.round(performance.now() - daemon.startedAt)),
      subscribers: daemon.listeners.size,
    };
  },
  [MessageType.NetIn]: (call, { handle, host_port, container_port }: NetInRequest) => {
    const container = find(call, handle);
    container.requireState('active');
    let port = host_port ?? FIRST_PORT;
    while (host_port === undefined && call.daemon.ports.has(port)) port += 1;
    if (call.daemon.ports.has(port))
      throw new WardenError('ALREADY_EXISTS', `port ${port} is taken`, {
        fields: { operation: 'net in', object: port },
      });
    call.daemon.ports.add(port);
    const published = { host_port: port, container_port: container_port ?? port };
    container.ports = [...container.ports, published];
    return published;
  },
  [MessageType.NetOut]: (call, { handle, ...rule }: NetOutRequest) => {
    const container = find(call, handle);
    container.requireState('active');
    container.egress = [...container.egress, fakeRule(rule, 'net out')];
    return {};
  },
  [MessageType.NetRules]: (call, { handle, remove_ports = [], remove_egress = [] }: NetRulesRequest) => {
    const container = find(call, handle);
    container.requireState('active', 'stopped');
    const going = remove_egress.map((rule) => fakeRule(rule, 'net rules'));
    const isGoing = ({ host_port }: PublishedPort): boolean => remove_ports.includes(host_port);
    for (const { host_port } of container.ports.filter(isGoing)) call.daemon.ports.delete(host_port);
    container.ports = container.ports.filter((port) => !isGoing(port));
    container.egress = container.egress.filter((rule) => !going.some((one) => isSameRule(one, rule)));
    return { ports: container.ports, egress: container.egress };
  },
  [MessageType.LimitMemory]: (call, { handle, limit_in_bytes }: LimitMemoryRequest) => {
    const container = find(call, handle);
    if (limit_in_bytes !== undefined) {
      container.limits.memory = limit_in_bytes;
      call.daemon.publish(container, { type: 'limit', limit: 'memory', value: limit_in_bytes });
    }
    return { limit_in_bytes: container.limits.memory };
  },
  [MessageType.LimitCpu]: (call, { handle, limit_in_shares }: LimitCpuRequest) => {
    const container = find(call, handle);
    if (limit_in_shares !== undefined) {
      container.limits.cpu = limit_in_shares;
      call.daemon.publish(container, { type: 'limit', limit: 'cpu', value: limit_in_shares });
    }
    return { limit_in_shares: container.limits.cpu };
  },
  [MessageType.LimitDisk]: (call, { handle }: LinkRequest) => {
    find(call, handle);
    return {}; // as a daemon without disk limits
  },
  [MessageType.LimitBandwidth]: (call, { handle, rate, burst }: LimitBandwidthRequest) => {
    const container = find(call, handle);
    container.limits.bandwidth = { rate, burst };
    call.daemon.publish(container, { type: 'limit', limit: 'bandwidth', value: rate });
    return { rate, burst };
  },
};

const FIRST_PORT = 61_001;
const PORTS = 4_000;

/** Looks a container up and references it. Errors: `UNKNOWN_HANDLE`. */
export function find({ daemon, session }: FakeCall, handle: string): FakeContainer {
  const container = daemon.find(handle);
  daemon.reference(container, session);
  return container;
}

/** What an Info answers. */
export function fakeCurrentInfo(container: FakeContainer): InfoResponse {
  return {
    ...fakeInfo(container),
    ended_jobs: [...container.jobs.values()].flatMap(({ id, end }) =>
      end === undefined ? [] : [{ job_id: id, ...endFields(end) }],
    ),
  };
}

/** What comes with a job's end. */
export function fakeInfo(container: FakeContainer): InfoResponse {
  const { bandwidth } = container.limits;
  return {
    state: container.state,
    host_ip: '192.0.2.1',
    container_ip: '192.0.2.2',
    job_ids: [...container.jobs.values()].filter(({ hasEnded }) => !hasEnded).map(({ id }) => BigInt(id)),
    ...(bandwidth && {
      bandwidth_stat: {
        ...{ in_rate: bandwidth.rate, in_burst: bandwidth.burst },
        ...{ out_rate: bandwidth.rate, out_burst: bandwidth.burst },
      },
    }),
    properties: messages(container.properties),
    ...(container.isPaused && { paused: true }),
    ports: container.ports,
  };
}

/** The fields of an answer that tell a job's end. */
export function endFields({ exitStatus, verdict }: FakeEnd): object {
  const signal = 'signal' in verdict ? verdict.signal : undefined;
  return {
    exit_status: exitStatus,
    exit_reason: verdict.reason,
    ...(signal !== undefined && { exit_signal: signal }),
  };
}

/** Whether all of `required` are there. */
export function has(properties: Properties, required: Properties): boolean {
  return Object.entries(required).every(
    ([name, value]) => Object.hasOwn(properties, name) && properties[name] === value,
  );
}

function messages(properties: Properties): readonly { readonly name: string; readonly value: string }[] {
  return Object.entries(properties).map(([name, value]) => ({ name, value }));
}

function setPaused(call: FakeCall, handle: string, isPaused: boolean): object {
  const container = find(call, handle);
  container.requireState('active');
  if (container.isPaused !== isPaused) {
    container.isPaused = isPaused;
    call.daemon.publish(container, { type: isPaused ? 'paused' : 'resumed' });
  }
  return {};
}

function spawn(call: FakeCall, request: SpawnRequest): FakeJob {
  const { argv, environment = [], working_directory, open_input, terminal, script } = request;
  if (terminal) checkTerminal(terminal);
  const variables = environment.map((text) => [
    text.slice(0, text.indexOf('=')),
    text.slice(text.indexOf('=') + 1),
  ]);
  const isBad = variables.some(([name]) => name === '');
  if (isBad || (working_directory !== undefined && !working_directory.startsWith('/')))
    throw new WardenError('INVALID_SPEC', 'a variable has no name, or the directory is not absolute', {
      fields: { operation: 'spawn' },
    });
  const isOpen = open_input === true || terminal !== undefined;
  const home = request.privileged === true ? '/root' : '/home/vcap';
  return call.daemon.spawn(find(call, request.handle), {
    argv: argv ?? ['/bin/bash'],
    environment: {
      ...{ HOME: home, USER: request.privileged === true ? 'root' : 'vcap', PATH: '/bin:/usr/bin' },
      ...Object.fromEntries(variables as [string, string][]),
    },
    workingDirectory: working_directory ?? home,
    privileged: request.privileged === true,
    input: isOpen && script.length === 0 ? undefined : script,
    terminal,
    discardOutput: request.discard_output === true,
    isLive: 'live_output' in request && request.live_output === true,
  });
}

async function result(call: FakeCall, handle: string, job: FakeJob): Promise<object> {
  const container = find(call, handle);
  while (!job.hasEnded) {
    if (call.signal?.aborted)
      throw new WardenError('ABORTED', 'the caller gave up waiting', { cause: call.signal.reason });
    await job.change(call.signal);
  }
  const end = await job.ended;
  container.jobs.delete(job.id);
  return {
    ...endFields(end),
    stdout: job.collect('stdout'),
    stderr: job.collect('stderr'),
    info: fakeInfo(container),
  };
}
