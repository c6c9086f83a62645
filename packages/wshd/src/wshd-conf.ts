/** `etc/wshd.conf`, the configuration of init: one directive per line, fields separated by one blank and escaped as in the mount plan. */
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
  const lines: (readonly (string | number)[])[] = [
    ['hostname', spec.hostname],
    ['nice', spec.nice],
    ...spec.cgroupJoinFiles.map((path) => ['cgroup', path]),
    ...(spec.processReserve === undefined
      ? []
      : [['reserve', spec.processReserve.outside, spec.processReserve.inside]]),
    ...networkLines(spec),
    ['user', spec.user.name, spec.user.uid, spec.user.gid, spec.user.home, spec.user.shell],
    ['file', '/etc/hosts', '0644', HOSTS_SOURCE],
    ['file', '/etc/resolv.conf', '0644', RESOLV_CONF_SOURCE],
    ...confinementLines(spec.confinement),
    ['hook_timeout', hooks.timeout],
    ...(hooks.shell === undefined ? [] : [['hook_shell', hooks.shell]]),
  ];
  return lines.map((fields) => `${fields.map((field) => escapeField(String(field))).join(' ')}\n`).join('');
}

function confinementLines(confinement: InitSpec['confinement']): (readonly (string | number)[])[] {
  const { idMap, capabilities, noNewPrivileges, seccomp, coreDumps, fuse, maskedPaths, readonlyPaths } =
    confinement;
  return [
    ...idMap.map(({ inside, outside, count }) => ['idmap', inside, outside, count]),
    ['capabilities', capabilities.toString(16)],
    ['no_new_privs', Number(noNewPrivileges)],
    ['seccomp', Number(seccomp)],
    ['core_dumps', Number(coreDumps)],
    ...ceilingLines(confinement.ceilings),
    ...(fuse ? [['device', 'fuse', 'c', 10, 229, '0666']] : []),
    ...maskedPaths.map((path) => ['mask', path]),
    ...readonlyPaths.map((path) => ['readonly', path]),
  ];
}

function ceilingLines({
  terminals,
  sharedMemory,
  devices,
}: InitSpec['confinement']['ceilings']): (readonly (string | number)[])[] {
  const kib = (bytes: number): number => Math.ceil(bytes / 1_024);
  return [
    ...(terminals === undefined ? [] : [['terminals', terminals]]),
    ...(sharedMemory === undefined ? [] : [['shm_kib', kib(sharedMemory)]]),
    ...(devices === undefined ? [] : [['dev_kib', kib(devices)]]),
  ];
}

function networkLines({ network }: InitSpec): (readonly (string | number)[])[] {
  if (network === undefined || network.interface === '') return [];
  const lines: (readonly (string | number)[])[] = [
    ['interface', network.interface],
    ['address', `${network.address}/${network.prefixLength}`],
    ['gateway', network.gateway],
  ];
  if (network.gatewayMac !== '') lines.push(['gateway_mac', network.gatewayMac]);
  lines.push(['mtu', network.mtu]);
  return lines;
}
