/** The form of all steps: a condition on the model, what is done, and everything looked at afterwards. */
import type fc from 'fast-check';
import { checkAll } from './check.ts';
import type { Model } from './model.ts';
import type { World } from './world.ts';

export type Step = fc.AsyncCommand<Model, World>;

/** What is said of a step when a history fails. */
export interface StepParts {
  /** `Create ada ro`: the kind is the first word. */
  readonly text: string;
  when?(model: Readonly<Model>): boolean;
  run(model: Model, world: World): Promise<void>;
}

/** Makes a step. A failure says in which one. */
export function step({ text, when, run }: StepParts): Step {
  return {
    check: (model) => when?.(model) ?? true,
    run: async (model, world) => {
      world.count(text.split(' ')[0]!);
      world.count('commands');
      const begun = performance.now();
      try {
        await run(model, world);
        await checkAll(model, world);
        world.say(`${text} (${Math.round(performance.now() - begun)} ms)`);
      } catch (error) {
        throw new Error(`${text}: ${(error as Error).message}`, { cause: error });
      }
    },
    toString: () => text,
  };
}
