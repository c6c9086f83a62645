/**
 * What may be left out may also be there as `undefined`: callers pass on what they were given themselves, and
 * some of them are compiled with `exactOptionalPropertyTypes`, as this file is. The compiler does the test.
 */
import { expect, it } from 'vitest';
import type {
  ClientContainer,
  ClientFiles,
  ClientJob,
  ClientSpawnOptions,
  ConnectOptions,
  ContainerFilter,
  CreateSpec,
  DiskLimitSpec,
  EventFilter,
  FileOptions,
  ImageImportSpec,
  ImageOptions,
  ImagePullSpec,
  NetOutSpec,
  NetRulesRemoval,
  ReadOptions,
  ResourceLimits,
  RunOptions,
  WaitLimits,
  WardenClient,
  WriteOptions,
} from './index.ts';

/** `T` with each value that may be left out also as `undefined`. */
type Given<T> = {
  [Name in keyof T]: Partial<Pick<T, Name>> extends Pick<T, Name> ? T[Name] | undefined : T[Name];
};
type Options<F> = F extends (...words: [...infer _, (infer Last)?]) => unknown ? NonNullable<Last> : never;

interface Taken {
  connect: ConnectOptions;
  create: CreateSpec;
  getOrCreate: Options<WardenClient['getOrCreate']>;
  infoMany: Options<WardenClient['infoMany']>;
  filter: ContainerFilter;
  events: EventFilter;
  spawn: ClientSpawnOptions;
  run: RunOptions;
  exec: Options<ClientContainer['exec']>;
  wait: WaitLimits;
  rlimits: ResourceLimits;
  stop: Options<ClientContainer['stop']>;
  netIn: Options<ClientContainer['netIn']>;
  netOut: NetOutSpec;
  removeNetRules: NetRulesRemoval;
  limitDisk: DiskLimitSpec;
  link: Options<ClientJob['link']>;
  stream: Options<ClientJob['stream']>;
  kill: Options<ClientJob['kill']>;
  write: Options<ClientJob['write']>;
  files: FileOptions;
  read: ReadOptions;
  readAll: Options<ClientFiles['readAll']>;
  writeFile: WriteOptions;
  image: ImageOptions;
  import: ImageImportSpec;
  pull: ImagePullSpec;
}
/** The names of those that refuse it. */
type Refusing = { [Name in keyof Taken]: Given<Taken[Name]> extends Taken[Name] ? never : Name }[keyof Taken];

it('takes undefined for everything that can be left out', () => {
  const isTaken: [Refusing] extends [never] ? true : Refusing = true;
  expect(isTaken).toBe(true);
});
