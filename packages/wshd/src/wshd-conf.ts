/**
 * `etc/wshd.conf`, the configuration of init: one directive per line, fields separated by one blank and
 * escaped as in the mount plan.
 */
import type { InitSpec } from '@warden/interface';
import { escapeField } from './mount-plan.ts';

/** Where the content of files that init writes into the root lies, relative to the container's directory. */
export const HOSTS_SOURCE = 'etc/hosts';
export const RESOLV_CONF_SOURCE = 'etc/resolv.conf';

/** How init runs the operator's hooks. */
export interface HookSettings {
  /** Seconds each may take. */
  readonly timeout: number;
  /** For the one that runs in the container's root; `undefined` when there is none. */
  readonly shell: string | undefined;
}

export const DEFAULT_HOOK_SETTINGS: HookSettings = { timeout: 30, shell: undefined };

/** Renders the whole file. */
export function renderWshdConf(spec: InitSpec, hooks: HookSettings = DEFAULT_HOOK_SETTINGS): string {
  const { processReserve, user } = spec;
  let text = line('hostname', spec.hostname) + line('nice', spec.nice);
  for (const path of spec.cgroupJoinFiles) text += line('cgroup', path);
  if (processReserve !== undefined) text += line('reserve', processReserve.outside, processReserve.inside);
  text += networkLines(spec);
  text += line('user', user.name, user.uid, user.gid, user.home, user.shell);
  text += line('file', '/etc/hosts', '0644', HOSTS_SOURCE);
  text += line('file', '/etc/resolv.conf', '0644', RESOLV_CONF_SOURCE);
  text += confinementLines(spec.confinement);
  text += line('hook_timeout', hooks.timeout);
  if (hooks.shell !== undefined) text += line('hook_shell', hooks.shell);
  return text;
}

function line(...fields: readonly (string | number)[]): string {
  return `${fields.map((field) => escapeField(String(field))).join(' ')}\n`;
}

function confinementLines(confinement: InitSpec['confinement']): string {
  const { idMap, capabilities, noNewPrivileges, seccomp, coreDumps, fuse } = confinement;
  let text = '';
  for (const { inside, outside, count } of idMap) text += line('idmap', inside, outside, count);
  text += line('capabilities', capabilities.toString(16));
  text += line('no_new_privs', Number(noNewPrivileges));
  text += line('seccomp', Number(seccomp));
  text += line('core_dumps', Number(coreDumps));
  text += ceilingLines(confinement.ceilings);
  if (fuse) text += line('device', 'fuse', 'c', 10, 229, '0666');
  return text + pathLines(confinement);
}

type CoveredPaths = Pick<InitSpec['confinement'], 'maskedPaths' | 'readonlyPaths'>;

/** Those of the last container, which are those of the next one: two thirds of the file. */
let covered: (CoveredPaths & { readonly text: string }) | undefined;

function pathLines({ maskedPaths, readonlyPaths }: CoveredPaths): string {
  if (covered?.maskedPaths !== maskedPaths || covered.readonlyPaths !== readonlyPaths) {
    let text = '';
    for (const path of maskedPaths) text += line('mask', path);
    for (const path of readonlyPaths) text += line('readonly', path);
    covered = { maskedPaths, readonlyPaths, text };
  }
  return covered.text;
}

function ceilingLines({ terminals, sharedMemory, devices }: InitSpec['confinement']['ceilings']): string {
  const kib = (bytes: number): number => Math.ceil(bytes / 1_024);
  let text = '';
  if (terminals !== undefined) text += line('terminals', terminals);
  if (sharedMemory !== undefined) text += line('shm_kib', kib(sharedMemory));
  if (devices !== undefined) text += line('dev_kib', kib(devices));
  return text;
}

function networkLines({ network }: InitSpec): string {
  if (network === undefined || network.interface === '') return '';
  let text = line('interface', network.interface);
  text += line('address', `${network.address}/${network.prefixLength}`);
  text += line('gateway', network.gateway);
  if (network.gatewayMac !== '') text += line('gateway_mac', network.gatewayMac);
  return text + line('mtu', network.mtu);
}
