/** What was measured, by name, in the order of the measurements. */
export class Samples {
  #values = new Map();

  add(name, value) {
    const values = this.#values.get(name);
    if (values === undefined) this.#values.set(name, [value]);
    else values.push(value);
  }

  /** Runs the action and notes its microseconds; answers what the action answers. */
  async time(name, action) {
    const began = process.hrtime.bigint();
    const result = await action();
    this.add(name, Number(process.hrtime.bigint() - began) / 1e3);
    return result;
  }

  has(name) {
    return this.#values.has(name);
  }

  get(name) {
    return this.#values.get(name) ?? [];
  }

  get names() {
    return [...this.#values.keys()];
  }

  toJSON() {
    return Object.fromEntries(this.#values);
  }
}
