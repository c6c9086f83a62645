/** How each failpoint of init is reached, and who is told what. The names are the program's. */
import path from 'node:path';
import type { ClientContainer } from '@warden/client';
import type { World } from './world.ts';

/** What must become of an action: a rejection with a text like this, or a result with this verdict. */
export interface Told {
  readonly rejects?: RegExp;
  readonly verdict?: string;
  /** It succeeds as if nothing were. */
  readonly nothing?: true;
}

/** One point of init. */
export interface InitCase {
  /** Reached while the container is made: nothing but `create` is tried. */
  readonly atCreate?: true;
  /** Hits that pass before. */
  readonly skip?: number;
  act?(world: World, box: ClientContainer): Promise<unknown>;
  readonly kill: Told;
  readonly error: Told;
  /** The container is as alive afterwards as before, whichever of the two happened. */
  readonly lives?: true;
}

const DIED = /init (ended|was killed|died)|launcher|connection|ended|closed|UNAVAILABLE/i;
const REPORTED = /failpoint/;
const making: InitCase = { atCreate: true, kill: { rejects: DIED }, error: { rejects: REPORTED } };
const connecting: InitCase = { atCreate: true, kill: { rejects: DIED }, error: { rejects: /init|I\/O/i } };
const LOST = { verdict: 'init-lost' };

const run = (_world: World, box: ClientContainer): Promise<unknown> => box.run('exit 3');
const running = (kill: Told, error: Told): InitCase => ({ act: run, kill, error });

/** By name. */
export const INIT_SCENARIOS: Readonly<Record<string, InitCase>> = {
  'wshd.socket': making,
  'wshd.mounts': making,
  'wshd.before-clone': making,
  'wshd.users': making,
  'wshd.dev': making,
  'wshd.cgroups': making,
  'wshd.clone': making,
  'wshd.clone-told': making,
  'wshd.go': making,
  'wshd.after-clone': making,
  'wshd.ready': making,
  'wshd.ready-told': { ...making, error: { rejects: /failpoint|init died/ } },
  'wshd.child-go': making,
  'wshd.network': making,
  'wshd.root': making,
  'wshd.files': making,
  'wshd.user': making,
  'wshd.bind': making,
  'wshd.pivot': making,
  'wshd.confine': making,
  'wshd.streams': making,
  'wshd.prepare': making,
  'wshd.listen': making,
  'wshd.serve': connecting,
  'wshd.accept': connecting,
  'wshd.hello': connecting,
  'wshd.handed-over': connecting,
  'wshd.spawn': running({ rejects: /iomux-spawn failed/ }, { rejects: /iomux-spawn failed/ }),
  'wshd.spawned': running({ rejects: /iomux-spawn failed/ }, { rejects: /iomux-spawn failed/ }),
  'wshd.spawn-told': running(LOST, LOST),
  'wshd.exit': running(LOST, LOST),
  'wshd.exit-told': running({ verdict: 'exited' }, { verdict: 'exited' }),
  'wshd.job': { ...running({ verdict: 'signal' }, { verdict: 'exited' }), lives: true },
  'wshd.execute': { ...running({ verdict: 'signal' }, { verdict: 'exited' }), lives: true },
  'wshd.signal': {
    act: async (_world, box) => {
      const job = await box.spawn('while :; do :; done');
      await job.kill();
      return job.link();
    },
    kill: { rejects: DIED },
    error: { rejects: /I\/O error/ },
  },
  'wshd.forget': { act: run, kill: { verdict: 'exited' }, error: { verdict: 'exited' } },
  'wshd.wait-empty': {
    act: (_world, box) => box.stop(),
    kill: { nothing: true },
    error: { rejects: /I\/O error/ },
  },
  'wshd.daemon-lost': {
    act: async (world) => {
      await world.kill();
      await world.start();
    },
    kill: { nothing: true },
    error: { nothing: true },
  },
};

/** A connection that is not the daemon's own: a copy's. */
export const COPY_CASE: InitCase = {
  skip: 1,
  act: (world, box) => box.copyIn(path.join(world.place.directory, 'source'), '/tmp/'),
  kill: { rejects: /command exited with failure/ },
  error: { rejects: /command exited with failure/ },
};
