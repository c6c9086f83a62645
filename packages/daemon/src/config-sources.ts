/**
 * Where settings come from: a flag is above the environment, the environment above the file, the file above
 * the defaults. The file is `--config`, else `WARDEN_CONFIG`, else the system's if there is one.
 */
import fs from 'node:fs';
import path from 'node:path';
import { WardenError } from '@warden/interface';
import { type Configuration, configurationFrom, readFile } from './config.ts';
import { SCHEMA } from './config-schema.ts';
import { isPlainMap, parseYaml } from './config-yaml.ts';
import { didYouMeanKey } from './suggest-key.ts';

/** Read when nobody names another. */
export const SYSTEM_FILE = '/etc/warden/wardend.yml';

/** A setting from the command line: the way to its key, and its value as YAML text. */
export interface Setting {
  readonly keys: readonly string[];
  readonly text: string;
  /** As it was written, for messages. */
  readonly source: string;
}

/** What the command line says. */
export interface ConfigurationWords {
  readonly config?: string | undefined;
  readonly settings: readonly Setting[];
}

/** A configuration with the places it comes from. */
export interface LoadedConfiguration {
  readonly configuration: Configuration;
  /** `undefined`: no file at all. */
  readonly file: string | undefined;
  /** Who has set what above the file, as `section.key` and flag or variable. */
  readonly overrides: ReadonlyMap<string, string>;
}

type Environment = Readonly<Record<string, string | undefined>>;

/**
 * Puts everything together and checks it. Errors: `INVALID_SPEC` naming every wrong key, with the flag or
 * variable that has set it, or a flag whose key there is not.
 */
export function loadFromSources(
  words: ConfigurationWords,
  environment: Environment = process.env,
  systemFile: string = SYSTEM_FILE,
): LoadedConfiguration {
  const file =
    words.config ??
    (environment.WARDEN_CONFIG || (fs.existsSync(systemFile) ? path.resolve(systemFile) : undefined));
  const { given, warnings } = file === undefined ? { given: {}, warnings: [] } : readFile(file);
  const overrides = new Map<string, string>();
  const merged = [...environmentSettings(environment), ...words.settings].reduce((into, setting) => {
    overrides.set(setting.keys.join('.'), setting.source);
    return put(into, setting.keys, parsed(setting));
  }, given);
  const configuration = blame(overrides, () =>
    configurationFrom({
      given: merged,
      warnings,
      file,
      directory: file === undefined ? process.cwd() : path.dirname(path.resolve(file)),
    }),
  );
  refuseUnknown(configuration, words.settings);
  return { configuration, file, overrides };
}

/**
 * A file may be of another version, and so may an environment that many programs share; what is typed now for
 * this program is a slip.
 */
function refuseUnknown({ unknown }: Configuration, settings: readonly Setting[]): void {
  for (const { keys, source } of settings) {
    const key = keys.join('.');
    if (!unknown.some((one) => key === one || key.startsWith(`${one}.`))) continue;
    throw new WardenError('INVALID_SPEC', `${source}: there is no such key${didYouMeanKey(key)}`, {
      fields: { operation: 'options', object: key },
    });
  }
}

/** `--set section.key=VALUE`. Errors: `INVALID_SPEC`. */
export function parseSetting(text: string): Setting {
  const at = text.indexOf('=');
  const keys = text.slice(0, Math.max(0, at)).split('.');
  if (at > 0 && keys.length > 1 && keys.every((key) => key !== ''))
    return { keys, text: text.slice(at + 1), source: `--set ${text.slice(0, at)}` };
  throw new WardenError('INVALID_SPEC', `--set: expected section.key=VALUE, found ${JSON.stringify(text)}`, {
    fields: { operation: 'options', object: text },
  });
}

/**
 * `WARDEN_SECTION__KEY=VALUE`. What names no section of ours, nor nearly one, is somebody else's variable; an
 * unknown key of ours is told like one in a file.
 */
function environmentSettings(environment: Environment): Setting[] {
  return Object.entries(environment).flatMap(([source, text]) => {
    const [, words] = /^WARDEN_([A-Z_]+__[A-Z_]+)$/.exec(source) ?? [];
    if (text === undefined || words === undefined) return [];
    const keys = words.toLowerCase().split('__');
    const [section = ''] = keys;
    const isOurs = Object.hasOwn(SCHEMA, section) || didYouMeanKey(section) !== '';
    return isOurs && !keys.includes('') ? [{ keys, text, source }] : [];
  });
}

function parsed({ text, source }: Setting): unknown {
  try {
    return parseYaml(text).value;
  } catch (cause) {
    throw new WardenError('INVALID_SPEC', `${source}: ${(cause as Error).message}`, { cause });
  }
}

/** A copy with the value at the end of the way. What is in the way and no map is left for the check to refuse. */
function put(into: unknown, [key, ...rest]: readonly string[], value: unknown): unknown {
  if (key === undefined) return value;
  if (!isPlainMap(into)) return into === null || into === undefined ? put({}, [key, ...rest], value) : into;
  return { ...into, [key]: put(into[key], rest, value) };
}

/** Adds to each complaint who is to blame, where it is not the file. */
function blame<T>(overrides: ReadonlyMap<string, string>, action: () => T): T {
  try {
    return action();
  } catch (error) {
    if (overrides.size === 0 || !(error instanceof WardenError)) throw error;
    const blamed = [...overrides].filter(([key]) =>
      [':', '['].some((next) => error.message.includes(`${key}${next}`)),
    );
    if (blamed.length === 0) throw error;
    const list = blamed.map(([key, source]) => `${key} is from ${source}`).join(', ');
    throw new WardenError(error.code, `${error.message} (${list})`, { cause: error, fields: error.fields });
  }
}
