/** What devices a container may use (spec linux-container.md 9.2, drivers.md 2.7). */
import type { CgroupSpec } from '@warden/interface';

/** One allowed device. `null` is every number. */
export interface DeviceRule {
  readonly type: 'c' | 'b';
  readonly major: number;
  readonly minor: number | null;
  readonly access: 'rw';
}

/** mknod is nowhere allowed: init's /dev is made before it joins. */
export const DEVICE_RULES: readonly DeviceRule[] = [
  { type: 'c', major: 1, minor: 3, access: 'rw' }, // null
  { type: 'c', major: 1, minor: 5, access: 'rw' }, // zero
  { type: 'c', major: 1, minor: 7, access: 'rw' }, // full
  { type: 'c', major: 1, minor: 8, access: 'rw' }, // random
  { type: 'c', major: 1, minor: 9, access: 'rw' }, // urandom
  { type: 'c', major: 5, minor: 0, access: 'rw' }, // tty
  { type: 'c', major: 5, minor: 2, access: 'rw' }, // ptmx
  { type: 'c', major: 136, minor: null, access: 'rw' }, // pts/*
];

const FUSE: DeviceRule = { type: 'c', major: 10, minor: 229, access: 'rw' };

/** What a container of `spec` may use. */
export function devicesOf({ allowAllDevices, allowFuse }: CgroupSpec): readonly DeviceRule[] | 'all' {
  if (allowAllDevices) return 'all';
  return allowFuse ? [...DEVICE_RULES, FUSE] : DEVICE_RULES;
}

/** A rule in the form of devices.allow. */
export function formatRule({ type, major, minor, access }: DeviceRule): string {
  return `${type} ${major}:${minor ?? '*'} ${access}`;
}
