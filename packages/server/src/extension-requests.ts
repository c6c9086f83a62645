/** The requests that the original's daemon does not know (docs/protocol-extensions.md), except those about files. */
import {
  type ContainerEvent,
  type ContainerEventType,
  type ContainerReport,
  type Properties,
  type SpawnOptions,
  WardenError,
} from '@warden/interface';
import {
  type EventsRequest,
  type EventsResponse,
  FEATURES,
  type HandleRequest,
  type InfoManyRequest,
  type InfoReport,
  type JobInputRequest,
  type JobPipesRequest,
  type JobResizeRequest,
  MessageType,
  type NetRulesRequest,
  type PropertiesRequest,
  type Property,
  type SpawnRequest,
} from '@warden/protocol';
import { FILE_HANDLERS } from './file-requests.ts';
import type { Handler, RequestContext } from './handler.ts';
import { infoMessage } from './info-message.ts';
import { egressSpec, netRulesMessage } from './net-rules-message.ts';

/** Reports in one answer: a frame of moderate size each, whatever there is. */
const REPORTS_PER_ANSWER = 64;

/** By type number. */
export const EXTENSION_HANDLERS: Readonly<Record<number, Handler>> = {
  [MessageType.Features]: async () => ({ features: FEATURES }),
  [MessageType.JobInput]: async ({ warden, signal }, request: JobInputRequest) => {
    const job = warden.container(request.handle).job(request.job_id);
    if (request.data !== undefined && request.data.length > 0) await job.write(request.data, { signal });
    if (request.end === true) await job.endInput();
    return {};
  },
  [MessageType.JobPipes]: async ({ warden }, request: JobPipesRequest) => {
    const job = warden.container(request.handle).job(request.job_id);
    if (job.pipes === undefined)
      throw new WardenError('UNSUPPORTED', 'the pipes of jobs cannot be lent here', {
        fields: { operation: 'read the pipes' },
      });
    const { pid, stdout, stderr } = await job.pipes();
    return { pid, ...(stdout && { stdout }), ...(stderr && { stderr }) };
  },
  [MessageType.JobResize]: async ({ warden }, request: JobResizeRequest) => {
    await warden.container(request.handle).job(request.job_id).resize(request.size);
    return {};
  },
  [MessageType.Pause]: async ({ warden }, request: HandleRequest) => {
    await warden.container(request.handle).pause();
    return {};
  },
  [MessageType.Resume]: async ({ warden }, request: HandleRequest) => {
    await warden.container(request.handle).resume();
    return {};
  },
  [MessageType.NetRules]: async ({ warden }, request: NetRulesRequest) => {
    const container = warden.container(request.handle);
    const ports = request.remove_ports ?? [];
    const egress = (request.remove_egress ?? []).map((rule) => egressSpec(rule, 'net rules'));
    const isQuestion = ports.length === 0 && egress.length === 0;
    return netRulesMessage(
      await (isQuestion ? container.netRules() : container.removeNetRules({ ports, egress })),
    );
  },
  [MessageType.Properties]: async ({ warden }, request: PropertiesRequest) => {
    const container = warden.container(request.handle);
    const changes: Record<string, string | undefined> = Object.create(null) as never;
    for (const name of request.remove ?? []) changes[name] = undefined;
    for (const { name, value } of request.set ?? []) changes[name] = value;
    const properties =
      Object.keys(changes).length === 0
        ? await container.properties()
        : await container.setProperties(changes);
    return { properties: propertyMessages(properties) };
  },
  [MessageType.InfoMany]: (context, request: InfoManyRequest) => infoMany(context, request),
  [MessageType.Metrics]: async ({ warden }) => {
    const { containers, jobs, pools, totals, uptimeMs, subscribers } = await warden.metrics();
    return {
      containers,
      jobs,
      pools,
      created_total: BigInt(totals.created),
      destroyed_total: BigInt(totals.destroyed),
      exits_total: BigInt(totals.exits),
      out_of_memory_total: BigInt(totals.outOfMemory),
      uptime_ms: BigInt(uptimeMs),
      subscribers,
    };
  },
  [MessageType.Events]: (context, request: EventsRequest) => events(context, request),
  ...FILE_HANDLERS,
};

/** Labels as an object without a prototype: `__proto__` is a name like any other. */
export function propertiesOf(messages: readonly Property[]): Properties {
  const properties: Record<string, string> = Object.create(null) as Record<string, string>;
  for (const { name, value } of messages) properties[name] = value;
  return properties;
}

/** What a spawn asks for beyond the original's. */
export function commandOptions(request: SpawnRequest): Partial<SpawnOptions> {
  const { argv, environment, working_directory, open_input, terminal } = request;
  return {
    ...(argv && { argv }),
    ...(environment && { environment: Object.fromEntries(environment.map(variable)) }),
    ...(working_directory !== undefined && { workingDirectory: working_directory }),
    ...(open_input === true && { stdin: 'pipe' as const }),
    ...(terminal && { terminal }),
    ...(request.live_output === true && { output: 'live' as const }),
  };
}

/** Without `=`, the whole is a name, which the engine refuses or takes as empty. */
function variable(text: string): [string, string] {
  const at = text.indexOf('=');
  return at < 0 ? [text, ''] : [text.slice(0, at), text.slice(at + 1)];
}

function propertyMessages(properties: Properties): readonly Property[] {
  return Object.entries(properties).map(([name, value]) => ({ name, value }));
}

/** As many as one answer holds are looked at, and the next ones when the client keeps up and it is its turn. */
async function infoMany(
  { warden, signal, send, turn }: RequestContext,
  request: InfoManyRequest,
): Promise<object> {
  const filter = request.properties && { properties: propertiesOf(request.properties) };
  const isNamed = request.handles !== undefined;
  const handles = [...new Set(request.handles ?? (await warden.list(filter)))];
  for (let at = 0; at < handles.length; at += REPORTS_PER_ANSWER) {
    if (at > 0) await turn();
    signal.throwIfAborted();
    const asked = { handles: handles.slice(at, at + REPORTS_PER_ANSWER), ...filter };
    const reports = await warden.infoMany(asked);
    // one that went meanwhile was not asked for by name
    const told = isNamed ? reports : reports.filter(({ error }) => error?.code !== 'UNKNOWN_HANDLE');
    await send({ reports: told.map(reportMessage) });
  }
  return { end: true };
}

function reportMessage({ handle, info, error }: ContainerReport): InfoReport {
  return {
    handle,
    ...(info && { info: infoMessage(info) }),
    ...(error && { error_code: error.code, error_message: error.message }),
  };
}

async function events(
  { warden, signal, send }: RequestContext,
  request: EventsRequest,
): Promise<EventsResponse> {
  const subscription = await warden.events({
    signal,
    ...(request.handle !== undefined && { handle: request.handle }),
    ...(request.types && { types: request.types as readonly ContainerEventType[] }),
    ...(request.properties && { properties: propertiesOf(request.properties) }),
  });
  try {
    await send({}); // it stands
    for await (const event of subscription) {
      await send(eventMessage(event));
      signal.throwIfAborted();
    }
    return { end: true };
  } finally {
    await subscription.return?.();
  }
}

function eventMessage(event: ContainerEvent): EventsResponse {
  const { type, handle, time, lost } = event;
  const message = { type, handle, time: BigInt(time), ...(lost > 0 && { lost }) };
  switch (event.type) {
    case 'exit': {
      const { jobId, exitStatus, verdict } = event;
      return {
        ...message,
        job_id: jobId,
        exit_status: exitStatus,
        exit_reason: verdict.reason,
        ...('signal' in verdict && verdict.signal !== undefined && { exit_signal: verdict.signal }),
      };
    }
    case 'limit':
      return { ...message, limit: event.limit, value: event.value };
    case 'output-limit':
      return { ...message, job_id: event.jobId };
    case 'network-denied': {
      const { destination, name, protocol, port, count } = event;
      return { ...message, protocol, count, destination, name, port };
    }
    default:
      return message;
  }
}
