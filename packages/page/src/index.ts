/**
 * The status page of warden: files for a browser and the numbers in them, served by whoever has an HTTP server.
 *
 * @packageDocumentation
 */
export type { PageSource } from './source.ts';
export { type PageAnswer, type PageRequest, StatusPage } from './status-page.ts';
export type { Numbers } from './wire.ts';
