/**
 * The engine of warden: container lifecycle, registry, pools, jobs, grace time, records and recovery, over drivers it knows only by their
 * contracts.
 *
 * @packageDocumentation
 */
export { createCore } from './core.ts';
export { CREATE_FAILPOINTS } from './create.ts';
export type { Syslog } from './job-log.ts';
export type { Core, CoreDrivers, CoreOptions, NumberRange } from './options.ts';
