/**
 * The engine of warden: container lifecycle, registry, pools, jobs, grace time, records and recovery, over
 * drivers it knows only by their contracts.
 *
 * @packageDocumentation
 */
export { type CleanUpOptions, cleanUp, type Leftover } from './clean-up.ts';
export { createCore } from './core.ts';
export { requireShortDepot } from './depot-path.ts';
export { failpoints } from './failpoint.ts';
export { CORE_FAILPOINTS, CREATE_FAILPOINTS } from './failpoint-names.ts';
export type { Syslog } from './job-log.ts';
export type { Core, CoreChanges, CoreDrivers, CoreOptions, NumberRange } from './options.ts';
export { type SetAside, setAside } from './quarantine.ts';
export type { CoreStatistics, Totals } from './statistics.ts';
