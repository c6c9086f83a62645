/** Laws that hold for every role (driver.ts, rules 1 to 8). */
import assert from 'node:assert/strict';
import {
  answerFlaw,
  type DriverState,
  driverFlaws,
  driverMethods,
  type ForeignDrivers,
  type ForeignRole,
  isWardenError,
  type ProbeResult,
  unsaidSupports,
} from '@warden/interface';

/**
 * Every method of the contract that no driver may lack is there, and what `supports` must say is said: a
 * daemon refuses the others when it starts.
 */
export function assertComplete<R extends ForeignRole>(role: R, driver: ForeignDrivers[R]): void {
  const flaws = [
    ...driverFlaws(role, driver as unknown as Readonly<Record<string, unknown>>),
    ...unsaidSupports(role, driver.supports),
  ];
  assert.deepEqual(
    [...new Set(flaws)],
    [],
    'the driver lacks members of its contract, or has them as something else',
  );
}

/**
 * The same driver, of which every answer is looked at: what a daemon would refuse to take fails the test in
 * which it was given, whatever that one asks for.
 */
export function answering<R extends ForeignRole>(role: R, driver: ForeignDrivers[R]): ForeignDrivers[R] {
  const methods = driverMethods(role);
  return new Proxy(driver, {
    get(target, key) {
      // the driver's own fields may be private ones, which a proxy has none of
      const value: unknown = Reflect.get(target, key, target);
      if (typeof value !== 'function' || typeof key !== 'string' || !Object.hasOwn(methods, key))
        return value;
      const method = methods[key]!;
      const checked = (answer: unknown): unknown => {
        const flaw = answerFlaw(method, answer);
        assert.equal(flaw, undefined, `${key}: ${flaw}`);
        return answer;
      };
      return (...words: unknown[]): unknown => {
        const answer: unknown = Reflect.apply(value, target, words);
        return method.isSync ? checked(answer) : Promise.resolve(answer).then(checked);
      };
    },
  });
}

/** The same subject, with drivers that are {@link answering}. */
export function watched<
  R extends ForeignRole,
  S extends { readonly driver: ForeignDrivers[R]; restart(): ForeignDrivers[R] | Promise<ForeignDrivers[R]> },
>(role: R, subject: S): S {
  const driver = answering(role, subject.driver);
  const restart = (): unknown => {
    const next = subject.restart();
    return next instanceof Promise ? next.then((one) => answering(role, one)) : answering(role, next);
  };
  return new Proxy(subject, {
    get(target, key) {
      if (key === 'driver') return driver;
      if (key === 'restart') return restart;
      const value: unknown = Reflect.get(target, key, target);
      return typeof value === 'function' ? value.bind(target) : value;
    },
  });
}

/** A state must be flat JSON: it is written to disk by core and handed back by the next daemon. */
export function assertPersistable(state: DriverState): void {
  for (const [key, value] of Object.entries(state)) {
    assert.ok(
      value === null || ['string', 'number', 'boolean'].includes(typeof value),
      `state.${key} is not a flat JSON value`,
    );
  }
  assert.deepEqual(JSON.parse(JSON.stringify(state)), state, 'the state does not survive JSON');
}

/** `plan` computes the same every time and touches nothing. */
export async function assertPurePlan(
  plan: () => DriverState,
  inventory: () => Promise<readonly string[]>,
): Promise<void> {
  const before = await inventory();
  const first = plan();
  assertPersistable(first);
  assert.deepEqual(plan(), first, 'plan answers differently for the same spec');
  assert.deepEqual(await inventory(), before, 'plan left something behind');
}

/** A probe answers in words, leaves nothing, and can be repeated. */
export async function assertHonestProbe(
  probe: () => Promise<ProbeResult>,
  inventory: () => Promise<readonly string[]>,
): Promise<void> {
  const before = await inventory();
  for (let round = 0; round < 2; round++) {
    const result = await probe();
    assert.ok(
      result.ok,
      result.ok ? '' : `the kit needs a driver that works here; the probe says: ${result.reason}`,
    );
  }
  assert.deepEqual(await inventory(), before, 'the probe left something behind');
}

/** The operation fails with a `WardenError` of one of `codes` that says which operation and object it was about. */
export async function assertWardenError(
  action: () => Promise<unknown>,
  codes: readonly string[],
): Promise<void> {
  const check = (error: unknown): true => {
    assert.ok(isWardenError(error), `not a WardenError: ${String(error)}`);
    assert.ok(
      codes.includes(error.code),
      `code ${error.code}, expected one of ${codes.join(', ')}: ${error.message}`,
    );
    assert.ok(error.message.length > 0, 'an error without a message');
    assert.ok(error.fields.operation, `the error names no operation: ${error.message}`);
    return true;
  };
  // the text of an arrow function says what was called
  await assert.rejects(action, check, `${action} must fail, by ${codes.join(' or ')}`);
}

/**
 * What is asked of something that is gone fails in the contract's words or changes nothing: it never makes
 * anything anew.
 */
export async function assertHarmless(
  actions: Readonly<Record<string, () => Promise<unknown>>>,
  inventory: () => Promise<readonly string[]>,
): Promise<void> {
  const before = await inventory();
  for (const [name, action] of Object.entries(actions)) {
    await action().catch((error: unknown) =>
      assert.ok(isWardenError(error), `${name}: not a WardenError: ${String(error)}`),
    );
    assert.deepEqual(await inventory(), before, `${name} made something of what is gone`);
  }
}

/** Something that makes one step of an operation fail, as a full disk or a foreign object does. */
export interface Obstacle {
  readonly name: string;
  /** Puts it in the way; the answer takes it away again. */
  place(): Promise<() => Promise<void>>;
}

/** With each obstacle in its way the operation fails and has undone its part; without, it works. */
export async function assertUndone(
  obstacles: readonly Obstacle[],
  operation: () => Promise<unknown>,
  inventory: () => Promise<readonly string[]>,
): Promise<void> {
  for (const { name, place } of obstacles) {
    const remove = await place();
    try {
      const before = await inventory();
      await assert.rejects(operation, (error: unknown) => {
        assert.ok(isWardenError(error), `${name}: not a WardenError: ${String(error)}`);
        assert.ok(error.fields.operation, `${name}: the error names no operation`);
        return true;
      });
      assert.deepEqual(await inventory(), before, `${name}: the failed operation left something behind`);
    } finally {
      await remove();
    }
  }
  await operation();
}

/** Hands the state through JSON, as a restart of the daemon does. */
export function persisted(state: DriverState): DriverState {
  return Object.freeze(JSON.parse(JSON.stringify(state)) as DriverState);
}
