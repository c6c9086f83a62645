/** One function per request: the message becomes a call of the `Warden` type, its result the answering message. */
import {
  type BindMountSpec,
  type CreateSpec,
  isWardenError,
  type JobResult,
  type ResourceLimits,
  type SpawnOptions,
} from '@warden/interface';
import {
  type CopyInRequest,
  type CopyOutRequest,
  type CreateRequest,
  type DestroyRequest,
  type EchoRequest,
  type InfoRequest,
  type JobSignalRequest,
  type LimitBandwidthRequest,
  type LimitCpuRequest,
  type LimitDiskRequest,
  type LimitMemoryRequest,
  type LinkRequest,
  type ListRequest,
  MessageType,
  type NetInRequest,
  type NetOutRequest,
  type RunRequest,
  type RunResponse,
  type SpawnRequest,
  type StopRequest,
  type StreamRequest,
  type StreamResponse,
} from '@warden/protocol';
import { diskLimitMessage, diskLimitSpec } from './disk-limits.ts';
import { endMessage } from './end-message.ts';
import { commandOptions, EXTENSION_HANDLERS, propertiesOf } from './extension-requests.ts';
import type { Handler, RequestContext } from './handler.ts';
import { IMAGE_HANDLERS } from './image-requests.ts';
import { infoMessage } from './info-message.ts';
import { egressSpec, portMessage } from './net-rules-message.ts';
import { TURN_MILLISECONDS } from './turns.ts';

/** By type number. A missing one is a defect: the tests compare with the protocol's table. */
export const HANDLERS: Readonly<Record<number, Handler>> = {
  [MessageType.Ping]: async ({ warden }) => {
    await warden.ping();
    return {};
  },
  [MessageType.Echo]: async ({ warden }, request: EchoRequest) => ({
    message: await warden.echo(request.message),
  }),
  [MessageType.List]: async ({ warden }, request: ListRequest) => ({
    handles: await (request.properties === undefined
      ? warden.list()
      : warden.list({ properties: propertiesOf(request.properties) })),
  }),
  [MessageType.Create]: async ({ warden }, request: CreateRequest) => ({
    handle: (await warden.create(createSpec(request))).handle,
  }),
  [MessageType.Stop]: async ({ warden }, request: StopRequest) => {
    await warden
      .container(request.handle)
      .stop({ background: request.background ?? false, kill: request.kill ?? false });
    return {};
  },
  [MessageType.Destroy]: async ({ warden }, request: DestroyRequest) => {
    await warden.container(request.handle).destroy();
    return {};
  },
  [MessageType.Info]: async ({ warden }, request: InfoRequest) =>
    infoMessage(await warden.container(request.handle).info()),
  [MessageType.Spawn]: async ({ warden }, request: SpawnRequest) => ({
    job_id: (await warden.container(request.handle).spawn(request.script, spawnOptions(request))).id,
  }),
  [MessageType.Link]: async ({ warden, signal, taken }, request: LinkRequest) =>
    resultMessage(await warden.container(request.handle).job(request.job_id).link({ signal, taken })),
  [MessageType.Run]: async ({ warden, signal, taken }, request: RunRequest) => {
    const options = { ...spawnOptions(request), awaited: true };
    const job = await warden.container(request.handle).spawn(request.script, options);
    return resultMessage(await job.link({ signal, taken }));
  },
  [MessageType.Stream]: (context, request: StreamRequest) => stream(context, request),
  [MessageType.JobSignal]: async ({ warden }, request: JobSignalRequest) => {
    const { signal, tree, reason } = request;
    await warden
      .container(request.handle)
      .job(request.job_id)
      .kill({
        ...(signal === undefined ? {} : { signal }),
        ...(tree === undefined ? {} : { tree }),
        ...(reason === 'timeout' ? { reason } : {}),
      });
    return {};
  },
  ...EXTENSION_HANDLERS,
  [MessageType.NetIn]: async ({ warden }, request: NetInRequest) => {
    const wanted = { hostPort: request.host_port, containerPort: request.container_port };
    return portMessage(await warden.container(request.handle).netIn(wanted));
  },
  [MessageType.NetOut]: async ({ warden }, request: NetOutRequest) => {
    await warden.container(request.handle).netOut(egressSpec(request, 'net out'));
    return {};
  },
  [MessageType.CopyIn]: async ({ warden }, request: CopyInRequest) => {
    await warden.container(request.handle).copyIn(request.src_path, request.dst_path);
    return {};
  },
  [MessageType.CopyOut]: async ({ warden }, request: CopyOutRequest) => {
    await warden.container(request.handle).copyOut(request.src_path, request.dst_path, request.owner);
    return {};
  },
  [MessageType.LimitMemory]: async ({ warden }, request: LimitMemoryRequest) => ({
    limit_in_bytes: await warden.container(request.handle).limitMemory(request.limit_in_bytes),
  }),
  [MessageType.LimitCpu]: async ({ warden }, request: LimitCpuRequest) => ({
    limit_in_shares: await warden.container(request.handle).limitCpu(request.limit_in_shares),
  }),
  [MessageType.LimitDisk]: async ({ warden }, request: LimitDiskRequest) =>
    diskLimitMessage(await warden.container(request.handle).limitDisk(diskLimitSpec(request))),
  [MessageType.LimitBandwidth]: async ({ warden }, request: LimitBandwidthRequest) => {
    const { rate, burst } = request;
    await warden.container(request.handle).limitBandwidth({ rate, burst });
    return { rate, burst };
  },
  ...IMAGE_HANDLERS,
};

const WAITING: ReadonlySet<number> = new Set([
  MessageType.Link,
  MessageType.Run,
  MessageType.Stream,
  MessageType.JobInput,
  MessageType.Events,
  MessageType.Files,
  MessageType.UploadData,
  MessageType.ImageImport,
  MessageType.ImagePull,
]);

/**
 * Requests that a drain and a lost client cut off: they only wait, and what they wait for stays; or they may
 * take long, and leave nothing half done.
 */
export function isWaitingRequest(type: number): boolean {
  return WAITING.has(type);
}

function createSpec(request: CreateRequest): CreateSpec {
  return {
    bindMounts: (request.bind_mounts ?? []).map(
      // an unlisted number is passed on for the engine to refuse by the original's text
      ({ src_path, dst_path, mode }): BindMountSpec => ({
        source: src_path,
        target: dst_path,
        mode: (['ro', 'rw'][mode] ?? String(mode)) as 'ro',
      }),
    ),
    graceTime: request.grace_time,
    handle: request.handle,
    network: request.network,
    rootfs: request.rootfs,
    ...(request.properties && { properties: propertiesOf(request.properties) }),
    ...(request.image !== undefined && { image: request.image }),
  };
}

function spawnOptions(request: SpawnRequest): SpawnOptions {
  return {
    privileged: request.privileged ?? false,
    rlimits: (request.rlimits ?? {}) as ResourceLimits,
    discardOutput: request.discard_output ?? false,
    logTag: request.log_tag,
    trackTree: request.track_tree ?? false,
    ...commandOptions(request),
  };
}

function resultMessage(result: JobResult): RunResponse {
  return {
    ...endMessage(result),
    stdout: result.stdout,
    stderr: result.stderr,
    info: infoMessage(result.info),
  };
}

/** Whoever stops reading in the middle leaves the job as it is, to be streamed again from its beginning. */
async function stream(
  { warden, signal, relay, taken, send, breakOff }: RequestContext,
  request: StreamRequest,
): Promise<StreamResponse> {
  const chunks = warden.container(request.handle).job(request.job_id).stream({ signal, relay, taken });
  let turnEnds = performance.now() + TURN_MILLISECONDS;
  try {
    for (;;) {
      const next = await chunks.next();
      signal.throwIfAborted();
      if (next.done) return { ...endMessage(next.value), info: infoMessage(next.value.info) };
      await send({ name: next.value.stream, data: next.value.data });
      if (performance.now() >= turnEnds) {
        // a job that prints as fast as its reader reads would never let the loop look for what else has come
        await new Promise((resolve) => setImmediate(resolve));
        turnEnds = performance.now() + TURN_MILLISECONDS;
      }
      signal.throwIfAborted();
    }
  } catch (error) {
    if (isWardenError(error) && error.fields.operation === 'relay') breakOff();
    throw error;
  } finally {
    // left before its end (the client is gone, or a chunk could not be sent): the generator's own clean-up must run
    await chunks.return(undefined as never);
  }
}
