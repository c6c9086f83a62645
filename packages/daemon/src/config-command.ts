/** `wardend config`: looks at the configuration without starting anything. */
import { didYouMean, type Logger, silentLogger, toWardenError } from '@warden/interface';
import type { Configuration } from './config.ts';
import { SCHEMA } from './config-schema.ts';
import { type LoadedConfiguration, loadFromSources } from './config-sources.ts';
import { configurationSchema } from './json-schema.ts';
import {
  CONFIGURATION_OPTIONS,
  CONFIGURATION_USAGE,
  configurationWords,
  parseOperands,
  wrongWords,
} from './options.ts';
import { networkPool } from './pools.ts';
import { findStartProblems } from './start-checks.ts';
import { didYouMeanKey } from './suggest-key.ts';
import { unsafeSettings } from './unsafe-settings.ts';

const USAGE = `Usage: wardend config check [--json] [settings]
       wardend config show [settings]
       wardend config schema

  check    tell every mistake, what is odd or unsafe, and what this host has against it; exit status 0: good, 2: a daemon would refuse it or
           not start here. What is in use at the moment, as a socket, is no part of it: a daemon with these settings may be running
  show     print what is effective, and what is unsafe, as JSON; looks at nothing of this host
  schema   print the JSON schema of the file, for editors and other programs

${CONFIGURATION_USAGE}`;

/** Runs the words behind `wardend config`; answers the exit status. */
export async function configCommand(words: readonly string[]): Promise<number> {
  try {
    const { values, positionals } = parseOperands(words, {
      ...CONFIGURATION_OPTIONS,
      json: { type: 'boolean' },
      help: { type: 'boolean', short: 'h' },
    });
    if (values.help === true) return print(USAGE);
    const [what, ...more] = positionals;
    if (more.length > 0) throw wrongWords(`one word too many: ${more[0]} (a file stands behind --config)`);
    if (what === 'schema') return print(`${JSON.stringify(configurationSchema(SCHEMA), null, 2)}\n`);
    if (what !== 'check' && what !== 'show')
      throw wrongWords(
        what === undefined
          ? 'a command is missing; usage: wardend config check|show|schema [settings]'
          : `no such command: ${what}; there are check, show and schema${didYouMean(what, ['check', 'show', 'schema'])}`,
      );
    const loaded = loadFromSources(configurationWords(values));
    if (what === 'show') return print(effective(loaded.configuration));
    const findings = await findingsOf(loaded);
    print(values.json === true ? `${JSON.stringify(findings)}\n` : describe(findings));
    // beside what else goes wrong
    if (values.json !== true)
      for (const text of findings.refused)
        process.stderr.write(`wardend config: refused on this host: ${text}\n`);
    return findings.refused.length === 0 ? 0 : 2;
  } catch (error) {
    const { code, message } = toWardenError(error);
    process.stderr.write(`wardend config: ${message} (${code})\n`);
    return 2;
  }
}

/** The effective configuration as JSON text, with what of it is unsafe. */
export function effective(configuration: Configuration): string {
  // a process limit beyond 2^53 is more than `JSON.stringify` takes
  const text = (_key: string, value: unknown): unknown =>
    typeof value === 'bigint' ? value.toString() : value;
  const network = { ...configuration.network, pool_network: networkPool(configuration.network) };
  return `${JSON.stringify({ ...configuration, network, unsafe: unsafeSettings(configuration) }, text, 2)}\n`;
}

interface Findings {
  readonly file: string | null;
  readonly overrides: Readonly<Record<string, string>>;
  readonly unknown: readonly string[];
  readonly warnings: readonly string[];
  readonly unsafe: readonly { readonly name: string; readonly means: string; readonly advice: string }[];
  /** Why a daemon would not start on this host. */
  readonly refused: readonly string[];
  /** What this user cannot look at. */
  readonly unseen: readonly string[];
}

async function findingsOf({ configuration, file, overrides }: LoadedConfiguration): Promise<Findings> {
  const warnings = [...configuration.warnings];
  const logger: Logger = {
    ...silentLogger,
    warn: (event, { advice } = {}) => void warnings.push(`${event} on this host: ${advice}`),
  };
  const { refusals, unseen } = await findStartProblems(configuration, { logger });
  return {
    file: file ?? null,
    overrides: Object.fromEntries(overrides),
    unknown: configuration.unknown,
    warnings,
    unsafe: unsafeSettings(configuration),
    refused: refusals,
    unseen,
  };
}

function describe({ file, overrides, unknown, warnings, unsafe, refused, unseen }: Findings): string {
  const lines = [
    ...Object.entries(overrides).map(([key, source]) => `set: ${key} by ${source}`),
    ...unknown.map((key) => `unknown: ${key} has no effect${didYouMeanKey(key)}`),
    ...warnings.map((text) => `warning: ${text}`),
    ...unsafe.map(({ name, means, advice }) => `unsafe: ${name}: ${means}; ${advice}`),
    ...unseen.map((text) => `not seen: as uid ${process.geteuid?.()}, run this as root to look: ${text}`),
  ];
  const verdict = refused.length === 0 ? 'good' : 'a daemon would not start on this host';
  return [...lines, `${file ?? 'no file, defaults only'}: ${verdict}`, ''].join('\n');
}

function print(text: string): number {
  process.stdout.write(text);
  return 0;
}
