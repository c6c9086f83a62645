/** Wrong words: what the user typed is not a command. */
import { WardenError } from '@warden/interface';

/** A syntax error of the command line; its text is contract. A single command then exits with 2. */
export class CommandError extends WardenError {
  /** `fields`: facts that the text does not hold. */
  constructor(text: string, fields: Readonly<Record<string, unknown>> = {}) {
    super('INVALID_SPEC', text, { fields: { operation: 'parse', ...fields } });
  }
}
