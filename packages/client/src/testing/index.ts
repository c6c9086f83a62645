/**
 * For tests of programs that use warden: a client whose containers live in memory, and the cases that it passes as the real one does.
 *
 * @packageDocumentation
 */
export { CLIENT_CONTRACT, type ContractCase, type ContractSubject } from './contract.ts';
