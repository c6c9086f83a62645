/** What each call of the client takes, see {@link demand}. */
import { constants } from 'node:os';
import {
  type BindMountSpec,
  type ContainerFilter,
  type CreateSpec,
  type DiskLimitSpec,
  didYouMean,
  type EventFilter,
  type FileOptions,
  type ImageImportSpec,
  type ImageOptions,
  type ImagePullSpec,
  type NetOutSpec,
  type NetRulesRemoval,
  RESOURCE_NAMES,
  type ReadOptions,
  type ResourceLimits,
  type TerminalSize,
  type WriteOptions,
} from '@warden/interface';
import {
  abortSignal,
  atLeast,
  both,
  type Check,
  callback,
  dictionaryOf,
  eachOf,
  flag,
  int32,
  milliseconds,
  needed,
  oneOf,
  shaped,
  text,
  uint32,
  uint64,
} from './check.ts';
import type { ClientSpawnOptions, RunOptions } from './client-container.ts';
import { MOUNT_MODES, PROTOCOLS } from './spec-messages.ts';
import type { ConnectOptions } from './warden-client.ts';

/** Longest path of a unix socket, without its NUL (unix(7)). */
const SOCKET_PATH_BYTES = 107;
const socketPath: Check = (value) => {
  if (value === '') return ' must not be empty';
  return new TextEncoder().encode(value as string).length <= SOCKET_PATH_BYTES
    ? undefined
    : ` is longer than the ${SOCKET_PATH_BYTES} bytes that the path of a unix socket has at most`;
};

/** Whole input of a program, or a part of it. */
export const content: Check = (value) =>
  value === undefined || typeof value === 'string' || value instanceof Uint8Array
    ? undefined
    : ' must be a string or bytes';

/** Bytes, at once or in pieces. */
export const archive: Check = needed((value) =>
  value instanceof Uint8Array || (typeof value !== 'string' && isIterable(value))
    ? undefined
    : ' must be bytes or an iterable of bytes',
);

/** One of these pieces. What else has a length or none would be sent as nothing. */
export const piece: Check = needed((value) => (value instanceof Uint8Array ? undefined : ' must be bytes'));

/** Content of a file, or the whole input of a job. */
export const fileContent: Check = needed((value) =>
  typeof value === 'string' || archive(value) === undefined
    ? undefined
    : ' must be a string, bytes or an iterable of bytes',
);

/** Another name would be another variable, or none. */
const variableNames: Check = (value) => {
  const wrong = Object.keys(value ?? {}).find((name) => name === '' || /[=\0]/.test(name));
  return wrong === undefined
    ? undefined
    : ` has the name ${JSON.stringify(wrong)}, which no variable can have`;
};

/** A rule without ICMP would be about far more than these say. */
const icmpOnly: Check = (value) => {
  const { protocol, icmpType, icmpCode } = value as NetOutSpec;
  return (icmpType ?? icmpCode) === undefined || protocol === 'icmp'
    ? undefined
    : ` has icmpType or icmpCode, which need protocol: 'icmp'`;
};

export const argv: Check = needed(eachOf(needed(text)));
export const path: Check = needed(text);
export const handle: Check = needed(text);
export const jobId: Check = needed(uint32);
export const amount: Check = uint64;

const texts = eachOf(needed(text));
const properties = dictionaryOf(needed(text));

export const connectOptions: Check = needed(
  shaped<ConnectOptions>({
    path: needed(both(text, socketPath)),
    signal: abortSignal,
    connectTimeoutMs: milliseconds,
    maxConnections: atLeast(1),
    idleTimeoutMs: milliseconds,
  }),
);

export const createSpec: Check = needed(
  shaped<CreateSpec>({
    bindMounts: eachOf(
      needed(
        shaped<BindMountSpec>({
          source: needed(text),
          target: needed(text),
          mode: needed(oneOf(Object.keys(MOUNT_MODES))),
        }),
      ),
    ),
    graceTime: uint32,
    handle: text,
    network: text,
    rootfs: text,
    image: text,
    properties,
  }),
);

/** With a handle of the caller's own. */
export const getOrCreateSpec: Check = both(createSpec, (value) => {
  const complaint = handle((value as CreateSpec).handle);
  return complaint && `.handle${complaint}`;
});
export const getOrCreateOptions: Check = shaped<{ signal?: AbortSignal; timeoutMs?: number }>({
  signal: abortSignal,
  timeoutMs: milliseconds,
});

export const containerFilter: Check = shaped<ContainerFilter>({ properties });
export const infoManyOptions: Check = shaped<ContainerFilter & { handles?: unknown }>({
  properties,
  handles: texts,
});
export const eventFilter: Check = shaped<EventFilter>({
  handle: text,
  types: texts,
  properties,
  signal: abortSignal,
});

export const terminalSize: Check = shaped<TerminalSize>({ rows: needed(uint32), columns: needed(uint32) });

const resourceLimits = shaped<ResourceLimits>(
  Object.fromEntries(RESOURCE_NAMES.map((name) => [name, uint64])) as Record<keyof ResourceLimits, Check>,
);

const spawnFields = {
  privileged: flag,
  rlimits: resourceLimits,
  discardOutput: flag,
  logTag: text,
  awaited: flag,
  trackTree: flag,
  argv: texts,
  environment: both(dictionaryOf(needed(text)), variableNames),
  workingDirectory: text,
  stdin: oneOf(['pipe']),
  terminal: terminalSize,
  output: oneOf(['live']),
  signal: abortSignal,
  timeoutMs: milliseconds,
} as const;
const runFields = { ...spawnFields, check: flag } as const;
export const spawnOptions: Check = shaped<ClientSpawnOptions>(spawnFields);
export const runOptions: Check = shaped<RunOptions>(runFields);
export const execOptions: Check = shaped<RunOptions & { input?: string | Uint8Array }>({
  ...runFields,
  input: content,
});

export const stopOptions: Check = shaped<{ background?: boolean; kill?: boolean }>({
  background: flag,
  kill: flag,
});
export const signalOption: Check = shaped<{ signal?: AbortSignal }>({ signal: abortSignal });
export const streamOptions: Check = shaped<{ signal?: AbortSignal; reuseMemory?: boolean }>({
  signal: abortSignal,
  reuseMemory: flag,
});
/** A number or a name of signal(7). */
const signalNumber: Check = (value) => {
  if (typeof value !== 'string') return int32(value);
  if (Object.hasOwn(constants.signals, value)) return undefined;
  return ` ${JSON.stringify(value)} is no signal of this host${didYouMean(value, Object.keys(constants.signals))}`;
};

export const killOptions: Check = shaped<{ signal?: unknown; tree?: boolean; reason?: 'timeout' }>({
  signal: signalNumber,
  tree: flag,
  reason: oneOf(['timeout']),
});

export const netInSpec: Check = shaped<{ hostPort?: number; containerPort?: number }>({
  hostPort: uint32,
  containerPort: uint32,
});
export const netOutSpec: Check = needed(
  both(
    shaped<NetOutSpec>({
      network: text,
      port: uint32,
      portRange: text,
      protocol: oneOf(Object.keys(PROTOCOLS)),
      icmpType: int32,
      icmpCode: int32,
      log: flag,
      domain: text,
    }),
    icmpOnly,
  ),
);
export const netRulesRemoval: Check = needed(
  shaped<NetRulesRemoval>({ ports: eachOf(needed(uint32)), egress: eachOf(netOutSpec) }),
);

export const diskLimit: Check = shaped<DiskLimitSpec>({
  blockSoft: uint64,
  blockHard: uint64,
  inodeSoft: uint64,
  inodeHard: uint64,
});
export const bandwidthLimit: Check = needed(
  shaped<{ rate: bigint; burst: bigint }>({ rate: needed(uint64), burst: needed(uint64) }),
);
export const propertyChanges: Check = needed(dictionaryOf(text));

const fileFields = { privileged: flag, signal: abortSignal } as const;
export const fileOptions: Check = shaped<FileOptions>(fileFields);
const readFields = { ...fileFields, offset: uint64, length: uint64 } as const;
export const readOptions: Check = shaped<ReadOptions>(readFields);
export const readAllOptions: Check = shaped<ReadOptions & { maxBytes?: number }>({
  ...readFields,
  maxBytes: atLeast(0),
});
export const writeOptions: Check = shaped<WriteOptions>({ ...fileFields, mode: uint32 });

export const imageOptions: Check = shaped<ImageOptions>({ signal: abortSignal, onProgress: callback });
export const imageImportSpec: Check = needed(
  shaped<ImageImportSpec>({ path: needed(text), name: text, reference: text }),
);
export const imagePullSpec: Check = needed(
  shaped<ImagePullSpec>({ reference: needed(text), name: text, user: text, password: text }),
);

function isIterable(value: unknown): boolean {
  const iterable = Object(value) as Record<symbol, unknown>;
  return [Symbol.iterator, Symbol.asyncIterator].some((name) => typeof iterable[name] === 'function');
}
