/**
 * Isolated networks, daemons, leak audit and forensics for warden's own tests.
 *
 * @packageDocumentation
 */
export { type BtrfsDisk, makeBtrfs } from './btrfs.ts';
export { copyRootfs } from './copy-rootfs.ts';
export {
  DEFAULT_ROOTFS,
  defaultRootfs,
  makePlace,
  startDaemon,
  type TestDaemon,
  type TestDaemonOptions,
  type TestPlace,
  WARDEND,
} from './daemon.ts';
export { Figures } from './figures.ts';
export { forensics } from './forensics.ts';
export { archiveImage } from './image-archive.ts';
export { assertIsolated, isolationProblem } from './isolation.ts';
export { type Inventory, leaks, ownMounts, remainingLeaks, takeInventory } from './leak-audit.ts';
export { makeNamespace, type Namespace } from './namespace.ts';
export { type ParsedFamily, type ParsedSample, parseOpenMetrics } from './openmetrics.ts';
export { patience } from './patience.ts';
export { cgroupParents, processesOf, reapPlaces, registerPlace, sweepGroups } from './places.ts';
export { DEBIAN_ROOTFS, describeWith, type Requirement, SYSTEMD_PACKAGES, unmet } from './requires.ts';
export { withDaemon } from './suite.ts';
export {
  FAR_ADDRESS,
  HOST_ADDRESS,
  makeTestNetwork,
  OUTSIDE_ADDRESS,
  type TestNetwork,
} from './test-network.ts';
export { type Vitals, type VitalsProbe, vitalsProbe } from './vitals.ts';
