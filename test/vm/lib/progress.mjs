/** What the guest says, as the state of each step, and the limits in time: of the boot, of a step, of the whole run. */

const MINUTE_MS = 60_000;
const BOOT_MINUTES = 10;
/** The guest ends a step at its limit by itself; when it cannot even do that, the machine is ended. */
const GRACE_MINUTES = 2;

/** Follows one run. A step gets `state` and `seconds`. */
export class Progress {
  #steps;
  #parts;
  #whole;
  #current;
  #problem;
  #since = Date.now();

  /** `parts`: `say`, `minutes` of the whole, what is asked, `cpuSeconds`, and what is done: `stop`, `reset`, `up`. */
  constructor(steps, parts) {
    this.#steps = steps;
    this.#parts = parts;
    this.#whole = setTimeout(() => this.#giveUp(`${parts.minutes} minutes over`), parts.minutes * MINUTE_MS);
    this.#limit('the boot', BOOT_MINUTES);
  }

  /** `kernel` (it runs), `up`, `begin STEP`, `end STEP STATUS`, `reset`, `fail WHY`, `done`. */
  follow(words) {
    const [word, name, status] = words.split(' ');
    this.#parts.say(`${words} (${this.#parts.cpuSeconds()} s of processor)`);
    if (word === 'up') this.#parts.up();
    else if (word === 'begin') this.#begin(name);
    else if (word === 'end') this.#finish(name, status === 'ETIMEDOUT' ? 'over its limit' : 'ended');
    else if (word === 'reset') this.#reset();
    else if (word === 'fail') this.#problem = words;
    if (word === 'done' || word === 'fail') this.#limit('the power-off', GRACE_MINUTES);
  }

  /** The machine is gone. Answers what was wrong with its end, if it is known here. */
  end() {
    clearTimeout(this.#whole);
    clearTimeout(this.#current);
    return this.#problem;
  }

  #begin(name) {
    const step = this.#step(name);
    step.state = 'cut off';
    this.#since = Date.now();
    this.#limit(`step ${name}`, step.minutes + GRACE_MINUTES);
  }

  #finish(name, state) {
    const step = this.#step(name);
    step.state = state;
    step.seconds = Math.round((Date.now() - this.#since) / 1000);
    this.#limit('the next step', GRACE_MINUTES);
  }

  #reset() {
    const step = this.#steps.find(({ state, resets }) => state === 'cut off' && resets);
    if (step === undefined) return;
    this.#finish(step.name, 'reset');
    this.#limit('the second boot', BOOT_MINUTES);
    this.#parts.reset().catch((error) => this.#parts.say(error.message));
  }

  #step(name) {
    const step = this.#steps.find((one) => one.name === name);
    if (step === undefined) throw new Error(`the guest speaks of a step ${name}, which is not in the plan`);
    return step;
  }

  #limit(what, minutes) {
    clearTimeout(this.#current);
    this.#current = setTimeout(
      () => this.#giveUp(`${what} took more than ${minutes} minutes`),
      minutes * MINUTE_MS,
    );
  }

  #giveUp(why) {
    this.#problem = why;
    this.#parts.stop();
  }
}
