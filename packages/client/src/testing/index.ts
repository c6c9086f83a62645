/**
 * For tests of programs that use warden: a client whose containers live in memory, and the cases that it
 * passes as the real one does.
 *
 * @packageDocumentation
 */
export { CLIENT_CONTRACT, type ContractCase, type ContractSubject } from './contract.ts';
export type { FakeWardenOptions } from './fake-daemon.ts';
export { FakeFiles, type FakeNode } from './fake-files.ts';
export { FAKE_PROGRAMS, type FakeJobContext, type FakeProgram } from './fake-programs.ts';
export { type FakeWarden, fakeWarden } from './fake-warden.ts';
