/**
 * `wardend` as a library: configuration, driver choice and start, for embedding and for tests. The program is
 * `bin/wardend.js`.
 *
 * @packageDocumentation
 */
export { type Configuration, checkConfiguration, loadConfiguration } from './config.ts';
export { type KeyRule, SCHEMA } from './config-schema.ts';
export { makeDefaultRootfs } from './default-rootfs.ts';
export { describeConfiguration, describeErrors } from './describe.ts';
export { type Diagnosis, diagnose } from './doctor.ts';
export type { DriverMaker } from './driver-module.ts';
export { type LogSink, type LogSinkOptions, openLogSink } from './log-sink.ts';
export type { RunningDaemon } from './running-daemon.ts';
export { type DriverSet, type GivenDrivers, selectDrivers, type Trial } from './select-drivers.ts';
export { type GivenParts, startDaemon } from './start.ts';
export type { Finding } from './survey.ts';
