/** What each call of the client takes, see {@link demand}. Fields that say `anything` are looked at by the encoder of the protocol. */
import {
  type BindMountSpec,
  type ContainerFilter,
  type CreateSpec,
  type DiskLimitSpec,
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
  anything,
  atLeast,
  type Check,
  callback,
  dictionaryOf,
  eachOf,
  milliseconds,
  needed,
  oneOf,
  shaped,
  text,
} from './check.ts';
import type { ClientSpawnOptions, RunOptions } from './client-container.ts';
import { MOUNT_MODES, PROTOCOLS } from './spec-messages.ts';
import type { ConnectOptions } from './warden-client.ts';

const properties = dictionaryOf(text);

export const connectOptions: Check = needed(
  shaped<ConnectOptions>({
    path: text,
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
          source: text,
          target: text,
          mode: needed(oneOf(Object.keys(MOUNT_MODES))),
        }),
      ),
    ),
    graceTime: anything,
    handle: anything,
    network: anything,
    rootfs: anything,
    image: anything,
    properties,
  }),
);

export const getOrCreateOptions: Check = shaped<{ signal?: AbortSignal; timeoutMs?: number }>({
  signal: abortSignal,
  timeoutMs: milliseconds,
});

export const containerFilter: Check = shaped<ContainerFilter>({ properties });
export const infoManyOptions: Check = shaped<ContainerFilter & { handles?: unknown }>({
  properties,
  handles: eachOf(text),
});
export const eventFilter: Check = shaped<EventFilter>({
  handle: anything,
  types: eachOf(text),
  properties,
  signal: abortSignal,
});

export const terminalSize: Check = shaped<TerminalSize>({ rows: anything, columns: anything });

const resourceLimits = shaped<ResourceLimits>(
  Object.fromEntries(RESOURCE_NAMES.map((name) => [name, anything])) as Record<keyof ResourceLimits, Check>,
);

const spawnFields = {
  privileged: anything,
  rlimits: resourceLimits,
  discardOutput: anything,
  logTag: anything,
  awaited: anything,
  trackTree: anything,
  argv: eachOf(text),
  environment: dictionaryOf(text),
  workingDirectory: anything,
  stdin: oneOf(['pipe']),
  terminal: terminalSize,
  output: oneOf(['live']),
  signal: abortSignal,
  timeoutMs: milliseconds,
} as const;
const runFields = { ...spawnFields, check: anything } as const;
export const spawnOptions: Check = shaped<ClientSpawnOptions>(spawnFields);
export const runOptions: Check = shaped<RunOptions>(runFields);
export const execOptions: Check = shaped<RunOptions & { input?: string | Uint8Array }>({
  ...runFields,
  input: anything,
});

export const stopOptions: Check = shaped<{ background?: boolean; kill?: boolean }>({
  background: anything,
  kill: anything,
});
export const signalOption: Check = shaped<{ signal?: AbortSignal }>({ signal: abortSignal });
export const streamOptions: Check = shaped<{ signal?: AbortSignal; reuseMemory?: boolean }>({
  signal: abortSignal,
  reuseMemory: anything,
});
export const killOptions: Check = shaped<{ signal?: number; tree?: boolean; reason?: 'timeout' }>({
  signal: anything,
  tree: anything,
  reason: oneOf(['timeout']),
});

export const netInSpec: Check = shaped<{ hostPort?: number; containerPort?: number }>({
  hostPort: anything,
  containerPort: anything,
});
export const netOutSpec: Check = needed(
  shaped<NetOutSpec>({
    network: anything,
    port: anything,
    portRange: anything,
    protocol: oneOf(Object.keys(PROTOCOLS)),
    icmpType: anything,
    icmpCode: anything,
    log: anything,
    domain: anything,
  }),
);
export const netRulesRemoval: Check = needed(
  shaped<NetRulesRemoval>({ ports: eachOf(anything), egress: eachOf(netOutSpec) }),
);

export const diskLimit: Check = needed(
  shaped<DiskLimitSpec>({
    blockSoft: anything,
    blockHard: anything,
    inodeSoft: anything,
    inodeHard: anything,
  }),
);
export const bandwidthLimit: Check = needed(
  shaped<{ rate: bigint; burst: bigint }>({ rate: needed(anything), burst: needed(anything) }),
);
export const propertyChanges: Check = needed(
  dictionaryOf((value) => (value === undefined ? undefined : text(value))),
);

const fileFields = { privileged: anything, signal: abortSignal } as const;
export const fileOptions: Check = shaped<FileOptions>(fileFields);
const readFields = { ...fileFields, offset: anything, length: anything } as const;
export const readOptions: Check = shaped<ReadOptions>(readFields);
export const readAllOptions: Check = shaped<ReadOptions & { maxBytes?: number }>({
  ...readFields,
  maxBytes: atLeast(0),
});
export const writeOptions: Check = shaped<WriteOptions>({ ...fileFields, mode: anything });

export const imageOptions: Check = shaped<ImageOptions>({ signal: abortSignal, onProgress: callback });
export const imageImportSpec: Check = needed(
  shaped<ImageImportSpec>({ path: anything, name: anything, reference: anything }),
);
export const imagePullSpec: Check = needed(
  shaped<ImagePullSpec>({ reference: anything, name: anything, user: anything, password: anything }),
);
