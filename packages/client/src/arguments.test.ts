import { WardenError } from '@warden/interface';
import { beforeAll, describe, expect, it } from 'vitest';
import type { ClientContainer } from './client-container.ts';
import { fakeWarden } from './testing/fake-warden.ts';
import { connect, type WardenClient } from './warden-client.ts';

let warden: WardenClient;
let box: ClientContainer;
beforeAll(async () => {
  const fake = fakeWarden();
  warden = await fake.connect();
  box = await warden.create();
  return () => fake[Symbol.asyncDispose]();
});

// biome-ignore lint/suspicious/noExplicitAny: what programs without types pass
type Wrong = any;

async function all(pieces: AsyncIterable<unknown>): Promise<void> {
  for await (const _ of pieces);
}

describe('what a call does not know is refused, before anything is sent', () => {
  it.each<readonly [string, string, (wrong: (value: unknown) => Wrong) => unknown]>([
    [
      'a limit under another name',
      "run: options.timeout is not known; did you mean 'timeoutMs'?",
      (wrong) => box.run('true', wrong({ timeout: 5 })),
    ],
    [
      'a limit that no timer can keep',
      'run: options.timeoutMs must be a number of milliseconds from 0 to 2147483647 (or left out), not Infinity',
      (wrong) => box.run('true', wrong({ timeoutMs: Number.POSITIVE_INFINITY })),
    ],
    [
      'a limit that is no number',
      'spawn: options.timeoutMs must be a number of milliseconds from 0 to 2147483647 (or left out), not NaN',
      (wrong) => box.spawn('true', wrong({ timeoutMs: Number.NaN })),
    ],
    [
      'a process limit under another name',
      "exec: options.rlimits.nofiles is not known; did you mean 'nofile'?",
      (wrong) => box.exec(['true'], wrong({ rlimits: { nofiles: 1n } })),
    ],
    [
      'variables in an array',
      'run: options.environment must be an object of names and values, not an array',
      (wrong) => box.run('true', wrong({ environment: ['A=b'] })),
    ],
    [
      'a variable that is no string',
      'run: options.environment.A must be a string, not 1',
      (wrong) => box.run('true', wrong({ environment: { A: 1 } })),
    ],
    [
      'no signal',
      'run: options.signal must be an AbortSignal, not an object',
      (wrong) => box.run('true', wrong({ signal: {} })),
    ],
    ['no options', 'run: options must be an object, not 5', (wrong) => box.run('true', wrong(5))],
    [
      'a terminal under other names',
      "spawn: options.terminal.row is not known; did you mean 'rows'?",
      (wrong) => box.spawn('', wrong({ terminal: { row: 1 } })),
    ],
    [
      'a word for the input',
      'spawn: options.stdin must be one of pipe, not "inherit"',
      (wrong) => box.spawn('', wrong({ stdin: 'inherit' })),
    ],
    [
      'a protocol that would have been TCP',
      'net out: spec.protocol must be one of tcp, udp, icmp, all, not "imcp"; did you mean \'icmp\'?',
      (wrong) => box.netOut(wrong({ network: '192.0.2.1', protocol: 'imcp' })),
    ],
    [
      'a rule to remove',
      "net rules: removal.egress[1].ports is not known; did you mean 'port'?",
      (wrong) => box.removeNetRules(wrong({ egress: [{ port: 80 }, { ports: 81 }] })),
    ],
    [
      'a type of ICMP for all TCP',
      "net out: spec has icmpType or icmpCode, which need protocol: 'icmp'",
      (wrong) => box.netOut(wrong({ network: '192.0.2.1', icmpType: 8 })),
    ],
    [
      'a name that would have been everywhere',
      "net out: spec.domian is not known; did you mean 'domain'?",
      (wrong) => box.netOut(wrong({ domian: 'registry.example.org', port: 443 })),
    ],
    [
      'a port that is none',
      'net out: spec.port must be a whole number from 0 to 4294967295, not NaN',
      (wrong) => box.netOut(wrong({ port: Number.NaN })),
    ],
    [
      'a signal that would have been SIGKILL',
      'kill: options must be an object, not 15',
      (wrong) => box.job(1).kill(wrong(15)),
    ],
    [
      'a variable that is not set',
      'run: options.environment.TOKEN is missing',
      (wrong) => box.run('true', wrong({ environment: { TOKEN: undefined } })),
    ],
    [
      'a variable of another name',
      'run: options.environment has the name "A=B", which no variable can have',
      (wrong) => box.run('true', wrong({ environment: { 'A=B': 'x' } })),
    ],
    ['no program', 'exec: argv is missing', (wrong) => box.exec(wrong(undefined))],
    ['no path', 'copy in: target is missing', (wrong) => box.copyIn('/a', wrong(undefined))],
    [
      'a number for bytes',
      'limit memory: bytes must be a bigint from 0n to 18446744073709551615n, not 100',
      (wrong) => box.limitMemory(wrong(100)),
    ],
    [
      'no content',
      'write: content must be a string, bytes or an iterable of bytes',
      (wrong) => box.files.write('/tmp/x', wrong(5)),
    ],
    [
      'an archive that is text',
      'write tar: archive must be bytes or an iterable of bytes',
      (wrong) => box.files.writeTar('/tmp', wrong('x')),
    ],
    [
      'input that is a number',
      'write: data must be a string or bytes',
      (wrong) => box.job(1).write(wrong(5)),
    ],
    [
      'input that is a buffer without a view',
      'write: data must be a string or bytes',
      (wrong) => box.job(1).write(wrong(new ArrayBuffer(1))),
    ],
    ['no input', 'write: data is missing', (wrong) => box.job(1).write(wrong(undefined))],
    [
      'whole input that is no content',
      'write: source must be a string, bytes or an iterable of bytes',
      (wrong) => box.job(1).writeAll(wrong(5)),
    ],
    [
      'a piece of input that is a number',
      'write: data must be a string or bytes',
      (wrong) => box.job(1).writeAll(wrong([104, 105])),
    ],
    [
      'a piece of content that is a number',
      'write: a piece must be bytes',
      (wrong) => box.files.write('/tmp/pieces', wrong([104, 105])),
    ],
    [
      'a piece of an archive that is text',
      'write-tar: a piece must be bytes',
      (wrong) => box.files.writeTar('/tmp', wrong(['x'])),
    ],
    ['no path of a file', 'stat: path must be a string, not 5', (wrong) => box.files.stat(wrong(5))],
    [
      'null',
      'create: spec.graceTime must be a whole number',
      (wrong) => warden.create(wrong({ graceTime: null })),
    ],
    ['a port by itself', 'net in: spec must be an object, not 80', (wrong) => box.netIn(wrong(80))],
    [
      'a limit of the disk in bytes',
      'limit disk: spec.byteHard is not known; known are blockSoft, blockHard, inodeSoft, inodeHard',
      (wrong) => box.limitDisk(wrong({ byteHard: 1n })),
    ],
    [
      'half a limit',
      'limit bandwidth: limit.burst is missing',
      (wrong) => box.limitBandwidth(wrong({ rate: 1n })),
    ],
    ['no limit', 'limit bandwidth: limit is missing', (wrong) => box.limitBandwidth(wrong(undefined))],
    [
      'stop',
      "stop: options.kil is not known; did you mean 'kill'?",
      (wrong) => box.stop(wrong({ kil: true })),
    ],
    [
      'labels',
      'properties: changes.a must be a string, not 1',
      (wrong) => box.setProperties(wrong({ a: 1, b: undefined })),
    ],
    [
      'create',
      "create: spec.gracetime is not known; did you mean 'graceTime'?",
      (wrong) => warden.create(wrong({ gracetime: 5 })),
    ],
    ['create of null', 'create: spec must be an object, not null', (wrong) => warden.create(wrong(null))],
    [
      'mounts under other names',
      'create: spec.bindMounts[0].src is not known; known are source, target, mode',
      (wrong) => warden.create(wrong({ bindMounts: [{ src: '/a', dst: '/b' }] })),
    ],
    [
      'a mode of a mount',
      'create: spec.bindMounts[0].mode must be one of ro, rw, not "rx"; did you mean \'ro\'?',
      (wrong) => warden.create(wrong({ bindMounts: [{ source: '/a', target: '/b', mode: 'rx' }] })),
    ],
    [
      'get or create',
      'get or create: options.timeoutMs must be a number of milliseconds from 0 to 2147483647 (or left out), not "1"',
      (wrong) => warden.getOrCreate({ handle: 'h' }, wrong({ timeoutMs: '1' })),
    ],
    [
      'a filter that would have admitted all',
      'list: filter.property is not known; known is properties',
      (wrong) => warden.list(wrong({ property: { a: 'b' } })),
    ],
    [
      'infoMany',
      "info of many: options.handle is not known; did you mean 'handles'?",
      (wrong) => warden.infoMany(wrong({ handle: 'h' })),
    ],
    [
      'events',
      "events: filter.type is not known; did you mean 'types'?",
      (wrong) => warden.events(wrong({ type: 'exit' })),
    ],
    [
      'files',
      "write: options.mod is not known; did you mean 'mode'?",
      (wrong) => box.files.write('/tmp/x', 'a', wrong({ mod: 0o600 })),
    ],
    [
      'readAll',
      'read: options.maxBytes must be a number of at least 0, not "1"',
      (wrong) => box.files.readAll('/tmp/x', wrong({ maxBytes: '1' })),
    ],
    [
      'read',
      "read: options.ofset is not known; did you mean 'offset'?",
      (wrong) => all(box.files.read('/tmp/x', wrong({ ofset: 1n }))),
    ],
    [
      'kill',
      "kill: options.sginal is not known; did you mean 'signal'?",
      (wrong) => box.job(1).kill(wrong({ sginal: 9 })),
    ],
    [
      'stream',
      "stream: options.reuse is not known; did you mean 'reuseMemory'?",
      (wrong) => all(box.job(1).stream(wrong({ reuse: true }))),
    ],
    [
      'size',
      "resize: size.column is not known; did you mean 'columns'?",
      (wrong) => box.job(1).resize(wrong({ column: 1 })),
    ],
    [
      'pull',
      'images: options.onProgress must be a function, not true',
      (wrong) => warden.images.pull({ reference: 'r' }, wrong({ onProgress: true })),
    ],
    [
      'import',
      "import: spec.paht is not known; did you mean 'path'?",
      (wrong) => warden.images.import(wrong({ paht: '/a' })),
    ],
    [
      'snapshot',
      'snapshot: options.onProgress is not known; known is signal',
      (wrong) => warden.images.snapshot('h', 'n', wrong({ onProgress: () => {} })),
    ],
    [
      'connect',
      'connect: options.socket is not known; known are path, signal',
      (wrong) => connect(wrong({ socket: '/a' })),
    ],
    ['no options at all', 'connect: options is missing', (wrong) => connect(wrong(undefined))],
    [
      'a path by itself',
      'connect: options must be an object, not "/tmp/w"',
      (wrong) => connect(wrong('/tmp/w')),
    ],
    [
      'a path of nothing, as of a variable that is not set',
      'connect: options.path must not be empty',
      (wrong) => connect(wrong({ path: '' })),
    ],
    [
      'a path that no socket can have',
      'connect: options.path is longer than the 107 bytes',
      (wrong) => connect(wrong({ path: `/${'x'.repeat(107)}` })),
    ],
    [
      'a signal of connect',
      'connect: options.signal must be an AbortSignal, not "x"',
      (wrong) => connect(wrong({ path: '/a', signal: 'x' })),
    ],
    [
      'connections',
      'connect: options.maxConnections must be a number of at least 1, not 0',
      (wrong) => connect(wrong({ path: '/a', maxConnections: 0 })),
    ],
  ])('%s', async (_, message, call) => {
    const failure = await Promise.resolve(call((value) => value)).catch((error: unknown) => error);
    expect(failure).toBeInstanceOf(WardenError);
    expect((failure as WardenError).code).toBe('INVALID_SPEC');
    expect((failure as WardenError).message).toContain(message);
  });

  it('but what is undefined is not there', async () => {
    const nothing: Wrong = { nonsense: undefined, timeoutMs: undefined };
    expect((await box.run('true', nothing)).exitStatus).toBe(0);
  });

  it('shows no content of objects and only the beginning of strings', async () => {
    const wrong: Wrong = { protocol: 'x'.repeat(100) };
    const failure = await box.netOut(wrong).catch((error: unknown) => error);
    expect((failure as WardenError).message).toContain(`not "${'x'.repeat(40)}…"`);
    expect((failure as WardenError).message).not.toContain('x'.repeat(41));
  });
});
