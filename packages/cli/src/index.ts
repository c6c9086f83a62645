/**
 * The `warden` command: single commands, the prompt and scripts, generated from the protocol's tables.
 *
 * @packageDocumentation
 */
export { main, runProgram } from './main.ts';
export type { Terminal } from './terminal.ts';
