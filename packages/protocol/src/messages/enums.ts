/** The enums of the protocol (spec protocol.md 8). */
import type { EnumDescriptor } from '../descriptor.ts';

/** Whether a bind mount can be written. */
export const BindMountMode: EnumDescriptor & { readonly values: { readonly RO: 0; readonly RW: 1 } } = {
  name: 'Mode',
  values: { RO: 0, RW: 1 },
};
/** What a rule of net_out is about. */
export const NetOutProtocol: EnumDescriptor & {
  readonly values: { readonly TCP: 0; readonly UDP: 1; readonly ICMP: 2; readonly ALL: 3 };
} = { name: 'Protocol', values: { TCP: 0, UDP: 1, ICMP: 2, ALL: 3 } };
