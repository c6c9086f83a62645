/**
 * Rules that another program has taken out of the kernel are put back: those of the host first, then those of
 * each container as recorded.
 */
import type { Engine } from './engine.ts';
import { hostSpec, putBackRules } from './reconfigure.ts';

/** Has the network driver tell of it, if it can. */
export function mendLostRules(engine: Engine): void {
  let isMending = false;
  let hasFailed = false;
  engine.drivers.network.watchRules?.(() => {
    if (isMending || engine.isClosing) return;
    isMending = true;
    void mend(engine)
      .then(
        () => {
          hasFailed = false;
        },
        (error: unknown) => {
          // told again until it is done: once is enough for the log
          if (!hasFailed) engine.logger.error('rules-not-put-back', { error, advice: ADVICE });
          hasFailed = true;
        },
      )
      .finally(() => {
        isMending = false;
      });
  });
}

const ADVICE =
  'containers may reach what they must not; it is tried again every second. Remove what keeps it from succeeding, or stop the containers';

async function mend(engine: Engine): Promise<void> {
  const { network } = engine.drivers;
  // from here on nobody reaches anything, but what all may
  await network.setup(hostSpec(engine.options));
  void putBackRules(engine); // rules may be lost again meanwhile
}
