/**
 * Drivers from elsewhere: a value of `drivers.filesystem`, `network`, `cgroup` or `quota` that is a path or
 * the name of a package is imported, and its default export makes the driver. See docs/writing-a-driver.md.
 */
import { existsSync, readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import path from 'node:path';
import { pathToFileURL } from 'node:url';
import {
  type DriverFactory,
  driverFlaws,
  type ForeignDrivers,
  type ForeignRole,
  toWardenError,
  WardenError,
} from '@warden/interface';
import { guarded, withinStart } from './guarded-driver.ts';

/**
 * What a module exports as `default`: the first step of making a driver (options, which a configuration has
 * none of).
 */
export type DriverMaker<T> = (options?: Readonly<Record<string, unknown>>) => DriverFactory<T>;

const IMPORT_CONDITIONS: ReadonlySet<string> = new Set(['node', 'import', 'module-sync', 'default']);

/**
 * A path (`/…`, `./…`, `../…`) or a package's name with `/` or `-` in it, which no driver of warden's own
 * has: a misspelt name stays an error.
 */
export function isModule(value: string): boolean {
  if (/^\.{0,2}\/./.test(value)) return true;
  return /^(@[a-z0-9][\w.-]*\/)?[a-z0-9][\w.-]*$/.test(value) && /[/-]/.test(value);
}

/** A relative path counts from `directory`, the configuration file's. */
export function absoluteModule(value: string, directory: string): string {
  return value.startsWith('.') ? path.resolve(directory, value) : value;
}

/**
 * Imports the module and makes the driver's factory. Errors, also of the factory: `INVALID_SPEC` naming the
 * key, the module and what is wrong with it.
 */
export async function loadDriver<R extends ForeignRole>(
  role: R,
  specifier: string,
): Promise<DriverFactory<ForeignDrivers[R]>> {
  const fail = (why: string, cause?: unknown): WardenError =>
    new WardenError('INVALID_SPEC', `drivers.${role}: ${specifier} ${why}`, {
      cause,
      fields: { operation: 'load driver', object: specifier, role },
    });
  let exported: unknown;
  try {
    const imported = import(locate(specifier)) as Promise<{ default?: unknown }>;
    exported = (await withinStart(imported, 'it has not come to its end')).default;
  } catch (cause) {
    const { message } = toWardenError(cause); // anything can be thrown
    if (message.startsWith(`Cannot find package '${specifier}'`))
      throw fail(
        `is not installed in ${process.cwd()}, where the daemon was started, nor beside the daemon; a path is another way to name it`,
        cause,
      );
    throw fail(`cannot be imported: ${message}`, cause);
  }
  if (typeof exported !== 'function')
    throw fail(
      'has no function as its default export, which makes the driver: options => components => driver',
    );
  let factory: unknown;
  try {
    factory = (exported as DriverMaker<unknown>)({});
  } catch (cause) {
    throw fail(`refuses to be made without options: ${toWardenError(cause).message}`, cause);
  }
  if (typeof factory !== 'function')
    throw fail('makes no factory: its default export must answer components => driver');
  return (components) => {
    let made: unknown;
    try {
      made = (factory as (given: typeof components) => unknown)(components);
    } catch (cause) {
      throw fail(`makes no driver: ${toWardenError(cause).message}`, cause);
    }
    if (made instanceof Promise) {
      made.catch(() => undefined); // told of here
      throw fail('makes a promise of a driver: what takes time belongs into probe or setup');
    }
    if (typeof made !== 'object' || made === null) throw fail(`makes no driver but ${String(made)}`);
    const driver = made as Readonly<Record<string, unknown>>;
    if (driver.role !== role) throw fail(`makes a driver of the role ${String(driver.role)}, not ${role}`);
    const flaws = driverFlaws(role, driver);
    if (flaws.length > 0) throw fail(`makes a driver without ${flaws.join(', ')}`);
    return guarded(made as ForeignDrivers[R], { role, module: specifier, logger: components.logger });
  };
}

/**
 * A package is looked for where the daemon is started and then beside the daemon's own packages. As an
 * `import` from a file there would find it, which Node only offers for files that exist: `require` finds all
 * but packages that are for `import` alone.
 */
function locate(specifier: string): string {
  if (path.isAbsolute(specifier)) return pathToFileURL(specifier).href;
  const { resolve } = createRequire(path.join(process.cwd(), 'wardend'));
  try {
    return pathToFileURL(resolve(specifier)).href;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ERR_PACKAGE_PATH_NOT_EXPORTED') return specifier;
    const directory = (resolve.paths(specifier) ?? [])
      .map((modules) => path.join(modules, specifier))
      .find((place) => existsSync(path.join(place, 'package.json')));
    const target = directory === undefined ? undefined : importTarget(exportsOf(directory));
    if (target === undefined) throw error;
    return pathToFileURL(path.join(directory!, target)).href;
  }
}

function exportsOf(directory: string): unknown {
  const { exports } = JSON.parse(readFileSync(path.join(directory, 'package.json'), 'utf8')) as {
    readonly exports?: unknown;
  };
  return exports !== null && typeof exports === 'object' && '.' in exports ? exports['.'] : exports;
}

/** The file that `import` takes of a value of `exports`: the first condition that holds and leads to one. */
function importTarget(value: unknown): string | undefined {
  if (typeof value === 'string') return value;
  if (value === null || typeof value !== 'object') return undefined;
  if (Array.isArray(value)) return firstOf(value);
  return firstOf(
    Object.entries(value)
      .filter(([condition]) => IMPORT_CONDITIONS.has(condition))
      .map(([, target]) => target),
  );
}

function firstOf(values: readonly unknown[]): string | undefined {
  return values.map(importTarget).find((target) => target !== undefined);
}
