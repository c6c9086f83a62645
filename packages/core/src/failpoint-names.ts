/**
 * Every named place of the engine, in the order of the steps, each named after the step it stands behind. A new one needs its line in
 * test/faults, which fails when one has none.
 */
import type { Failpoints } from '@warden/interface';

/** All names. */
export const CORE_FAILPOINTS = [
  'create.validate',
  'create.reserve',
  'create.directory',
  'create.record',
  'create.quota',
  'create.filesystem',
  'create.cgroup',
  'create.prepare',
  'create.launch',
  'create.network',
  'create.proceed',
  'create.snapshot',
  'create.register',
  // each time a record is written
  'record.open',
  'record.write',
  'record.sync',
  'record.rename',
  'record.sync-directory',
  'destroy.record',
  'destroy.stop',
  'destroy.copies',
  'destroy.init',
  'destroy.kill',
  'destroy.jobs',
  'destroy.network',
  'destroy.cgroup',
  'destroy.discard',
  'destroy.filesystem',
  'destroy.quota',
  'destroy.directory',
  'stop.record',
  'stop.signal',
  'stop.kill',
  'stop.empty',
  'stop.jobs',
  'stop.done',
  'pause.record',
  'pause.freeze',
  'resume.thaw',
  'resume.record',
  'spawn.validate',
  'spawn.note',
  'spawn.send',
  'spawn.start',
  'spawn.adopt',
  'job.exit',
  'job.drain',
  'job.store',
  'link.wait',
  'link.end',
  'link.info',
  'stream.begin',
  'stream.chunk',
  'stream.end',
  'stream.info',
  'net-in.port',
  'net-in.record',
  'net-in.map',
  'net-out.record',
  'net-out.rule',
  'limit-memory.watch',
  'limit-memory.record',
  'limit-memory.apply',
  'limit-cpu.record',
  'limit-cpu.apply',
  'limit-disk.read',
  'limit-disk.apply',
  'limit-bandwidth.record',
  'limit-bandwidth.apply',
  'copy-in.check',
  'copy-in.start',
  'copy-in.end',
  'copy-out.check',
  'copy-out.start',
  'copy-out.end',
  'snapshot.freeze',
  'snapshot.capture',
  'snapshot.thaw',
  'drain.settle',
  'drain.release',
  'recover.read',
  'recover.connect',
  'recover.network',
  'recover.limits',
  'recover.register',
  'recover.jobs',
  'recover.acknowledge',
  'recover.record',
  'recover.watch',
  'recover.kill',
  'recover.drivers',
  'recover.directory',
  'recover.quarantine',
  'recover.network-swept',
  'recover.cgroups-swept',
] as const;

/** One of {@link CORE_FAILPOINTS}. */
export type CoreFailpoint = (typeof CORE_FAILPOINTS)[number];

/** Those of create, in order. */
export const CREATE_FAILPOINTS: readonly CoreFailpoint[] = CORE_FAILPOINTS.filter((name) =>
  name.startsWith('create.'),
);

/** As `Failpoints`, for the names of the engine alone. */
export interface CoreFailpoints extends Failpoints {
  pass(name: CoreFailpoint): Promise<void> | undefined;
  passSync(name: CoreFailpoint): void;
}
