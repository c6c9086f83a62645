/** Required fields, with the original's text; the codec would name them in its own words. */
import { WardenError } from '@warden/interface';
import type { MessageDescriptor } from '@warden/protocol';
import type { Message } from './parse-flags.ts';

/**
 * Throws `INVALID_SPEC` for the first required field that is absent, in nested messages too; `fields.flag` is
 * the flag that would set it. `prefix`: what stands before its name there.
 */
export function checkRequired(descriptor: MessageDescriptor, message: Message, prefix = '--'): void {
  for (const field of descriptor.fields) {
    const value = message[field.name];
    const flag = `${prefix}${field.name}`;
    if (value === undefined) {
      if (field.label !== 'required') continue;
      throw new WardenError('INVALID_SPEC', `Field ${field.name} is required but nil`, {
        fields: { object: field.name, flag },
      });
    }
    if (field.message === undefined) continue;
    for (const [at, element] of [value].flat().entries())
      checkRequired(
        field.message,
        element as Message,
        field.label === 'repeated' ? `${flag}[${at}].` : `${flag}.`,
      );
  }
}
