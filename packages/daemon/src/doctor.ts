/**
 * `wardend doctor`: what this host has, which drivers work or why not, which the configuration chooses, and
 * the one thing to do to get a better one. Needs no running daemon, and disturbs none: what is tried is tried
 * in throw-away namespaces and directories.
 */
import fs from 'node:fs';
import net from 'node:net';
import path from 'node:path';
import { setAside } from '@warden/core';
import { silentLogger, toWardenError } from '@warden/interface';
import { nftablesNetwork } from '@warden/net-nftables';
import { encodeFrame, encodeMessage, MessageType } from '@warden/protocol';
import { checkRights } from './check-host.ts';
import { type Configuration, isInsecure } from './config.ts';
import { loadFromSources } from './config-sources.ts';
import { CONFIGURATION_OPTIONS, CONFIGURATION_USAGE, configurationWords, parseWords } from './options.ts';
import { MAKE_ROOM, shortage } from './reserve.ts';
import { findingOfRootfs } from './rootfs-finding.ts';
import { surveyDrivers, type Trial } from './select-drivers.ts';
import { type Finding, surveyHost } from './survey.ts';
import { adviceWithoutRights, canTry, LOOK_AS_ROOT } from './trial-rights.ts';
import { unsafeSettings } from './unsafe-settings.ts';

/** What the doctor says. */
export interface Diagnosis {
  /** A daemon with this configuration would start and make containers. */
  readonly usable: boolean;
  readonly host: readonly Finding[];
  readonly configuration: readonly Finding[];
  readonly drivers: readonly Trial[];
}

/** Of a directory below which layers are tried. */
const TRIAL_PREFIX = '.warden-doctor-';

const USAGE = `Usage: wardend doctor [--json] [settings]

Shows what this host has, which drivers work or why not, and what to do for better ones. Needs no daemon, and root to try most things:
without, it says what it could not look at.
Exit status: 0 usable, 1 not usable, 2 wrong words.

${CONFIGURATION_USAGE}`;

/** Runs the words behind `wardend doctor`; answers the exit status. */
export async function doctor(words: readonly string[]): Promise<number> {
  try {
    const values = parseWords(words, {
      ...CONFIGURATION_OPTIONS,
      json: { type: 'boolean' },
      help: { type: 'boolean', short: 'h' },
    });
    if (values.help) {
      process.stdout.write(USAGE);
      return 0;
    }
    const diagnosis = await diagnose(loadFromSources(configurationWords(values)).configuration);
    process.stdout.write(values.json ? `${JSON.stringify(diagnosis)}\n` : describe(diagnosis));
    return diagnosis.usable ? 0 : 1;
  } catch (error) {
    const { code, message } = toWardenError(error);
    process.stderr.write(`wardend doctor: ${message} (${code})\n`);
    return 2;
  }
}

/**
 * Looks at everything that this process has the rights for, which is all that a configuration without
 * isolation needs.
 */
export async function diagnose(
  configuration: Configuration,
  environment: Readonly<Record<string, string | undefined>> = process.env,
  hasRights: boolean = isInsecure(configuration) || canTry(),
): Promise<Diagnosis> {
  const trials = hasRights ? [...shaping(configuration), ...egress(configuration)] : untried();
  const host = isInsecure(configuration) ? [] : [...surveyHost(), ...trials];
  const settings = [
    rights(configuration),
    notOfClients(await socket(configuration, hasRights), configuration, environment),
    ...places(configuration, hasRights),
    ...confinement(configuration),
    ...quarantined(configuration, hasRights),
  ];
  const depot = makeTrialDepot(configuration.server.container_depot_path);
  let drivers: readonly Trial[];
  try {
    const found = await surveyDrivers(configuration, { logger: silentLogger }, depot.path);
    drivers = found
      .map((trial) => named(trial, depot.path, path.dirname(depot.path)))
      .map((trial) => advised(trial, hasRights));
  } finally {
    depot.remove();
  }
  const roles = [...new Set(drivers.map(({ role }) => role))];
  const usable =
    roles.every((role) => drivers.some((one) => one.role === role && one.chosen)) &&
    [...host, ...settings].every(({ ok, isNeeded }) => ok || !isNeeded);
  return { usable, host, configuration: settings, drivers };
}

/** What is said of the trial's directory holds for the one that the operator knows. */
function named(trial: Trial, from: string, to: string): Trial {
  const { result } = trial;
  if (result.ok || !path.basename(from).startsWith(TRIAL_PREFIX)) return trial;
  return { ...trial, result: { ok: false, reason: result.reason.replaceAll(from, to) } };
}

/** What the kernel and programs say of a full file system. */
const NO_ROOM = /\bENOSPC\b|No space left on device/;

/** What is refused for want of rights, or of room, says nothing else of this host. */
function advised(trial: Trial, hasRights: boolean): Trial {
  if (trial.result.ok) return trial;
  const { reason } = trial.result;
  const advice = NO_ROOM.test(reason) ? MAKE_ROOM : adviceWithoutRights(reason, hasRights);
  return advice === undefined ? trial : { ...trial, advice };
}

/** The ways of limiting bandwidth, the best first. */
const SHAPING = [
  ['queue', 'tbf and ifb', 'modprobe sch_tbf ifb act_mirred sch_ingress: out of the reach of what is inside'],
  ['ends', 'tbf at both ends of the link', 'modprobe sch_tbf: queueing is kinder to TCP than dropping'],
  ['limit', 'limits in nftables rules', 'use a kernel with nftables limit expressions'],
] as const;

function shaping({ drivers: { name } }: Configuration): Finding[] {
  return SHAPING.map(([bandwidth, means, advice]) => {
    const { supports } = nftablesNetwork({ table: name, bandwidth })({ logger: silentLogger });
    return {
      subject: `bandwidth by ${means}`,
      ok: supports.bandwidth,
      found: supports.bandwidth ? 'works' : 'does not work',
      ...(!supports.bandwidth && { advice }),
    };
  });
}

const NAMES = 'egress rules about names';
const REFUSED = 'packets that are refused';

/** Of {@link shaping} and {@link egress}, where trying them would fail for want of rights. */
function untried(): Finding[] {
  return [...SHAPING.map(([, means]) => `bandwidth by ${means}`), NAMES, REFUSED].map((subject) => ({
    subject,
    ok: false,
    found: `not looked at: as uid ${process.geteuid?.() ?? 0}, nothing can be tried in a namespace (EPERM)`,
    advice: LOOK_AS_ROOT,
  }));
}

const DENIALS = { each: 'told one by one', totals: 'only counted', none: 'not told' } as const;

function egress({ drivers: { name } }: Configuration): Finding[] {
  const { supports } = nftablesNetwork({ table: name })({ logger: silentLogger });
  const isNamed = supports.namedEgress === true;
  const { packets = 'none', reason } = supports.denials ?? {};
  const isEach = packets === 'each';
  return [
    {
      subject: NAMES,
      ok: isNamed,
      found: isNamed ? 'work' : 'do not work',
      ...(!isNamed && { advice: 'use a kernel with nftables limit expressions: modprobe nft_limit' }),
    },
    {
      subject: REFUSED,
      ok: isEach,
      found: `${DENIALS[packets]}${reason === undefined ? '' : `: ${reason}`}`,
      ...(!isEach && { advice: 'use a kernel with nft_limit, nft_log and nfnetlink_log: modprobe them' }),
    },
  ];
}

function rights(configuration: Configuration): Finding {
  const subject = 'rights';
  const found = `uid ${process.geteuid?.() ?? 0}`;
  try {
    checkRights(configuration);
    return { subject, ok: true, found, isNeeded: true };
  } catch (error) {
    return {
      subject,
      ok: false,
      found: `${found}: ${toWardenError(error).message}`,
      advice:
        'run as root, or set server.container_klass to Warden::Container::Insecure; the doctor sees some more in a user namespace, too (unshare --user --map-root-user)',
      isNeeded: true,
    };
  }
}

/** Whether another daemon listens is told, and is no fault. */
async function socket(
  { server: { unix_domain_path: at } }: Configuration,
  hasRights: boolean,
): Promise<Finding> {
  const subject = `socket ${at}`;
  if (!fs.existsSync(path.dirname(at)))
    return {
      subject,
      ok: false,
      found: 'its directory is missing',
      advice: `mkdir ${path.dirname(at)}`,
      isNeeded: true,
    };
  const facts = fs.statSync(at, { throwIfNoEntry: false });
  if (facts === undefined) return { subject, ok: true, found: 'free' };
  if (!facts.isSocket())
    return { subject, ok: false, found: 'something else is there', advice: `remove ${at}`, isNeeded: true };
  const state = await ping(at);
  if (state instanceof Error)
    return {
      subject,
      ok: false,
      found: `not looked at: ${state.message}`,
      advice:
        adviceWithoutRights(state.message, hasRights) ??
        'run wardend doctor again, as a user who may connect',
    };
  if (state !== 'silent') return { subject, ok: true, found: STATES[state] };
  return {
    subject,
    ok: false,
    found: `somebody listens, but answers no ping within ${PATIENCE_MS / 1_000} s`,
    advice:
      'look at the log of the daemon, or at the service manager that holds the socket; a daemon that hangs can be killed: containers go on',
  };
}

/**
 * A daemon listens where its configuration says. Who has named another place to clients will look for that
 * one here.
 */
function notOfClients(
  finding: Finding,
  { server: { unix_domain_path: at } }: Configuration,
  { WARDEN_SOCKET: named }: Readonly<Record<string, string | undefined>>,
): Finding {
  if (!named || path.resolve(named) === path.resolve(at)) return finding;
  const why = `looked at by server.unix_domain_path; WARDEN_SOCKET is for clients, --socket ${named} looks there`;
  return { ...finding, found: `${finding.found} (${why})` };
}

/** How long a daemon may take to answer. */
const PATIENCE_MS = 5_000;

const STATES = {
  answers: 'a daemon listens and answers',
  refused: 'left by a daemon that has ended',
} as const;

/**
 * Asks whoever listens for a sign of life. A socket that a service manager holds takes connections without
 * any daemon. An error says nothing about a daemon: most users may not connect to one.
 */
function ping(at: string): Promise<keyof typeof STATES | 'silent' | Error> {
  return new Promise((resolve) => {
    const connection = net.connect(at);
    const settle = (state: keyof typeof STATES | 'silent' | Error): void => {
      clearTimeout(timer);
      connection.destroy();
      resolve(state);
    };
    const timer = setTimeout(() => settle('silent'), PATIENCE_MS);
    let isConnected = false;
    connection.once('connect', () => {
      isConnected = true;
      connection.write(encodeFrame(encodeMessage(MessageType.Ping, {})));
    });
    connection.once('data', () => settle('answers'));
    connection.once('error', (error: NodeJS.ErrnoException) => {
      if (isConnected) settle('silent');
      else settle(error.code === 'ECONNREFUSED' ? 'refused' : error);
    });
    connection.once('end', () => settle('silent'));
  });
}

/** Not safe is no fault: the operator has asked for it. It is said all the same. */
function confinement(configuration: Configuration): Finding[] {
  const open = unsafeSettings(configuration);
  if (open.length === 0) return [{ subject: 'confinement', ok: true, found: 'complete' }];
  return open.map(({ name, means, advice }) => ({
    subject: `unsafe: ${name}`,
    ok: false,
    found: means,
    advice,
  }));
}

/**
 * Containers that a daemon could not understand. The others do not suffer from them. A depot is for its
 * daemon's eyes: most users cannot look into it.
 */
function quarantined(
  { server: { container_depot_path: depot } }: Configuration,
  hasRights: boolean,
): Finding[] {
  let found: ReturnType<typeof setAside>;
  try {
    found = setAside(depot);
  } catch (error) {
    const { message } = toWardenError(error);
    return [
      {
        subject: `containers set aside in ${depot}`,
        ok: false,
        found: `not looked at: ${message}`,
        advice:
          adviceWithoutRights(message, hasRights) ??
          'set server.container_depot_path to a directory that can be read',
      },
    ];
  }
  return found.map(({ id, directory, handle, reason, since, advice }) => ({
    subject: `container ${id}${handle === undefined ? '' : ` (handle ${JSON.stringify(handle)})`}`,
    ok: false,
    found: `set aside${since === undefined ? '' : ` ${since}`} in ${directory}: ${reason}`,
    advice,
  }));
}

function places(configuration: Configuration, hasRights: boolean): Finding[] {
  const { container_depot_path: depot, container_rootfs_path: rootfs } = configuration.server;
  const parent = nearest(depot);
  const isWritable = canWrite(parent);
  const left = shortage(parent);
  const unwritable = hasRights
    ? `make ${parent} writable, or set server.container_depot_path`
    : `root may write there as a rule: ${LOOK_AS_ROOT}`;
  return [
    {
      subject: `depot ${depot}`,
      ok: isWritable && left === undefined,
      found: `${parent === depot ? 'there' : `to be made in ${parent}`}${isWritable ? '' : ', and not to be written to'}${left === undefined ? '' : `, and full: ${left}`}`,
      ...(left !== undefined && { advice: MAKE_ROOM }),
      ...(!isWritable && { advice: unwritable }),
      isNeeded: true,
    },
    ...(isInsecure(configuration) ? [] : [findingOfRootfs(rootfs)]),
  ];
}

/** The depot, or for the time of the trial a directory on the file system where it will be. */
function makeTrialDepot(depot: string): { readonly path: string; remove(): void } {
  const parent = nearest(depot);
  if (!canWrite(parent)) return { path: parent, remove: () => {} };
  // beside a running daemon's containers: it never looks at names with a dot
  let trial: string;
  try {
    trial = fs.mkdtempSync(path.join(parent, TRIAL_PREFIX));
  } catch {
    return { path: parent, remove: () => {} }; // full, as is told of the depot
  }
  return { path: trial, remove: () => fs.rmSync(trial, { recursive: true, force: true }) };
}

function nearest(target: string): string {
  const at = path.resolve(target);
  return fs.existsSync(at) || at === '/' ? at : nearest(path.dirname(at));
}

function canWrite(directory: string): boolean {
  try {
    fs.accessSync(directory, fs.constants.W_OK);
    return true;
  } catch {
    return false;
  }
}

/** For people. */
function describe({ usable, host, configuration, drivers }: Diagnosis): string {
  const lines: string[] = [];
  const section = (title: string, findings: readonly Finding[]): void => {
    if (findings.length > 0) lines.push(title);
    for (const { subject, ok, found, advice } of findings)
      lines.push(`  ${ok ? 'ok ' : 'NO '} ${subject}: ${found}${advice ? `\n       ${advice}` : ''}`);
  };
  section('host', host);
  section('configuration', configuration);
  lines.push('drivers');
  for (const { role, driver, result, chosen, advice } of drivers) {
    const text = result.ok ? (result.detail ?? 'works') : result.reason;
    lines.push(`  ${result.ok ? 'ok ' : 'NO '} ${role} ${driver}${chosen ? ' (chosen)' : ''}: ${text}`);
    if (advice) lines.push(`       ${advice}`);
  }
  lines.push(usable ? 'usable' : 'not usable', '');
  return lines.join('\n');
}
