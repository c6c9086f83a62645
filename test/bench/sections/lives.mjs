// Create, run, destroy: warden, the floor and the other programs in turn, so that what the machine does
// otherwise meets all of them.
import path from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { startDaemon, warmUp } from '../lib/daemon.mjs';
import { startEcho } from '../lib/echo.mjs';
import { ociRuntime, run, whyNoCrun, whyNot } from '../lib/programs.mjs';
import { rest } from '../lib/settle.mjs';

const FIRST_ROUNDS = 3;
export const RUNS = 5;
/**
 * So many find no shell prepared. Also in the floor's container the first ones take longer, since the kernel
 * has yet to make what a new control group, mount and user namespace need for a process.
 */
const FIRST_RUNS = 2;
const SPACED_RUNS = 3;
/** An idle daemon: caches are cold and the kernel waits for what it would otherwise have done already. */
const IDLE_MS = 100;
const MOST_PEERS = 50;
const MOST_SPACED = 50;
/** Between two of the quick requests that find everybody asleep. */
const SPACE_MS = 20;
const ECHOES = 2_000;

export async function measureLives({ samples, skipped, place, floor, count }) {
  const peers = [];
  const daemon = await startDaemon(place('lives'));
  try {
    for (const program of ['crun', 'runc']) {
      const reason = program === 'crun' ? whyNoCrun() : whyNot(program);
      const peer =
        reason === undefined ? await startPeer(ociRuntime(program, place.settings), skipped) : undefined;
      if (peer !== undefined) peers.push(peer);
      else if (reason !== undefined) skipped.set(program, reason);
    }
    // pages of the base belong to the container that touches them first, and go with it: somebody else who
    // has them stays, as in use
    await (await daemon.client.create()).run('true');
    for (let i = 0; i < FIRST_ROUNDS; i++)
      await oneRound({ samples: { time: (_name, action) => action(), add() {} }, daemon, floor });
    for (let i = 0; i < count; i++) await oneRound({ samples, daemon, floor, when: ', fresh daemon' });
    await warmUp(daemon.client);
    for (let i = 0; i < count; i++) {
      await oneRound({ samples, daemon, floor });
      if (i < MOST_PEERS) for (const peer of peers) await peerRound(samples, peer, i);
    }
    for (let i = 0; i < Math.min(count, MOST_SPACED); i++) await spacedRound({ samples, daemon, floor });
    await quickRequests({ samples, place, daemon, count });
  } finally {
    for (const peer of peers) await peer.stop();
    await daemon.stop();
  }
}

async function oneRound({ samples, daemon, floor, when = '' }) {
  const number = floor.nextNumber();
  samples.add(`floor create${when}`, await floor.ask('create', number));
  const box = await samples.time(`warden create${when}`, () => daemon.client.create());
  // the floor's before warden's: not while a shell is being prepared for the next one, and that gets no more
  // time for it than a client takes to ask again
  for (let i = 0; i < RUNS; i++) {
    samples.add(`${runOf('floor', i)} true${when}`, await floor.ask('run', number));
    samples.add(`${runOf('floor', i)} bash${when}`, await floor.ask('shell', number));
  }
  for (let i = 0; i < RUNS; i++)
    await samples.time(`${runOf('warden', i)} true${when}`, () => box.run('true'));
  samples.add(`floor destroy${when}`, await floor.ask('destroy', number));
  await samples.time(`warden destroy${when}`, () => box.destroy());
}

/** What a container's run with this number, from 0, is counted as. */
export function runOf(who, number) {
  return `${who} ${number < FIRST_RUNS ? 'first run' : 'run'}`;
}

async function spacedRound({ samples, daemon, floor }) {
  const number = floor.nextNumber();
  await delay(IDLE_MS);
  samples.add('floor create, idle before', await floor.ask('create', number));
  await delay(IDLE_MS);
  const box = await samples.time('warden create, idle before', () => daemon.client.create());
  for (let i = 0; i < SPACED_RUNS; i++) {
    await delay(IDLE_MS);
    samples.add(`${runOf('floor', i)} true, idle before`, await floor.ask('run', number));
    await delay(IDLE_MS);
    await samples.time(`${runOf('warden', i)} true, idle before`, () => box.run('true'));
  }
  await delay(IDLE_MS);
  samples.add('floor destroy, idle before', await floor.ask('destroy', number));
  await delay(IDLE_MS);
  await samples.time('warden destroy, idle before', () => box.destroy());
}

/** Programs that are there may still not work here: that is no reason to measure nothing. */
async function startPeer(peer, skipped) {
  try {
    await peer.create('live');
  } catch (error) {
    skipped.set(peer.name, `it starts no container here: ${error.message}`);
    await peer.close();
    return undefined;
  }
  return {
    ...peer,
    stop: async () => {
      await peer.remove('live');
      await peer.close();
    },
  };
}

async function peerRound(samples, peer, number) {
  await samples.time(`${peer.name} run --detach`, () => peer.create(`b${number}`));
  await samples.time(`${peer.name} exec true`, () => peer.exec('live'));
  await samples.time(`${peer.name} delete`, () => peer.remove(`b${number}`));
}

/**
 * Requests that take less time than the kernel needs to wake who is to answer: beside them what two bare
 * programs take.
 */
async function quickRequests({ samples, place, daemon, count }) {
  const { client } = daemon;
  const box = await client.create();
  const echo = await startEcho(path.join(place.settings.directory, 'echo.sock'));
  try {
    for (let i = 0; i < ECHOES; i++) await echo.ask(); // compiled, as the daemon is
    await rest();
    // back to back, as scripts are; with a rest before each, and in turn with others, below
    for (let i = 0; i < count; i++) await samples.time('info', () => box.info());
    for (let i = 0; i < count; i++) await samples.time('ping', () => client.ping());
    // in turn, so that each has just been asked or has slept for as long as the other
    for (let i = 0; i < count; i++) {
      await samples.time('echo', () => echo.ask());
      await samples.time('ping beside an echo', () => client.ping());
    }
    for (let i = 0; i < Math.min(count, MOST_SPACED); i++) {
      await delay(SPACE_MS);
      await samples.time('echo, idle before', () => echo.ask());
      await delay(SPACE_MS);
      await samples.time('ping, idle before', () => client.ping());
    }
  } finally {
    await echo.stop();
    await box.destroy();
  }
  // what starting any program costs here, for the eye: not used in a ratio. Not between the requests: a fork
  // of this process makes the next ones slower.
  for (let i = 0; i < Math.min(count, 20); i++)
    await samples.time('a process of the bench', () => run('/bin/true', []));
}
