/**
 * The kernel calls that Node lacks: polling and passing of raw descriptors, spawning without a fork, pidfds,
 * netlink, locks, mounts, loop devices, disk quota and device programs.
 *
 * Each function does one thing; policy belongs to the callers. What answers with a promise works on a thread of
 * Node's pool, or waits by the event loop; everything else is synchronous. Failures of the kernel are
 * `NATIVE_FAILED` with `operation`, `object` and `errno`; wrong arguments are `TypeError`s, checked before C
 * sees them. Descriptors are plain numbers, close-on-exec, and belong to the caller.
 *
 * @packageDocumentation
 */
export type { BtrfsFacts } from './btrfs.ts';
export {
  btrfsFacts,
  btrfsQuota,
  btrfsRescan,
  createSubvolume,
  destroySubvolume,
  limitSubvolume,
  removeQuotaGroup,
} from './btrfs.ts';
export {
  type ControlAnswer,
  type ControlOperation,
  controlFiles,
  controlFilesOnThread,
} from './control-files.ts';
export {
  closeDescriptor,
  duplicateDescriptor,
  growPipe,
  makeEventFd,
  makePipe,
  makeSealedMemfd,
  makeSealedMemfdOnThread,
  movePieces,
  moveToFile,
  type PieceProgress,
  readDescriptor,
  setNonBlocking,
  writeDescriptor,
} from './descriptors.ts';
export { attachDeviceProgram } from './device-program.ts';
export { ERRNO_NAMES } from './errno-names.ts';
export {
  allocateFile,
  copySparseFile,
  copySparseFileOnThread,
  lockFile,
  openInside,
  rereadFile,
  spreadDirectories,
  syncDirectory,
  umask,
} from './files.ts';
export { libraryPath } from './load-library.ts';
export { attachLoopDevice, growLoopDevice } from './loop-device.ts';
export type { MountCall, MountTrial } from './mounts.ts';
export {
  MS,
  mountFilesystem,
  openReadOnly,
  shutDownFilesystem,
  tryMount,
  tryMountBeside,
  unmount,
} from './mounts.ts';
export {
  interfaceIndex,
  NETLINK_NETFILTER,
  NETLINK_ROUTE,
  NETLINK_SOCK_DIAG,
  NetlinkSocket,
} from './netlink-socket.ts';
export { receiveOnlyMessage } from './only-message.ts';
export {
  openPidfd,
  raiseOpenFileLimit,
  reapChild,
  reapLater,
  signalPidfd,
  waitForExit,
} from './process.ts';
export type { QuotaLimits, QuotaRecord } from './quota.ts';
export { quotaGet, quotaSet, setProjectId } from './quota.ts';
export { KeptEntries, removeTree, stripTree } from './remove-tree.ts';
export { writeSetting } from './settings.ts';
export type { ConnectFailure, ReceivedMessage } from './sockets.ts';
export {
  connectUnix,
  growSendBuffer,
  makeDatagramSocket,
  makeSocketPair,
  peerCredentials,
  receiveMessage,
  sendDatagram,
  sendMessage,
  sendPart,
} from './sockets.ts';
export type { SpawnSpec } from './spawn.ts';
export { spawnProcess, spawnProcessOnThread } from './spawn.ts';
export { makeTrial } from './trial.ts';
export type { PollInterest, PollReady, PollWatch } from './watch.ts';
export { watchDescriptor } from './watch.ts';
