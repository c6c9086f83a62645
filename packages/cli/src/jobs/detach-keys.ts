/** The keys that leave a job in a terminal without ending it. */
import { CommandError } from '../command-error.ts';

/** As typed by default: Ctrl-P, Ctrl-Q. */
export const DEFAULT_DETACH_KEYS = 'ctrl-p,ctrl-q';

/** `ctrl-a,x` → bytes; `none` → none. Error: `CommandError`. */
export function parseDetachKeys(text: string): Uint8Array {
  if (text === 'none') return new Uint8Array();
  return Uint8Array.from(
    text.split(',').map((key) => {
      const control = /^ctrl-([a-z@[\]\\^_])$/i.exec(key);
      if (control !== null) return control[1]!.toUpperCase().charCodeAt(0) & 0x1f;
      if (/^[!-~]$/.test(key)) return key.charCodeAt(0);
      throw new CommandError(
        `--detach-keys: '${key}' is no key; write ctrl-a to ctrl-z or a character, or none`,
      );
    }),
  );
}

/** Finds the keys in what is typed, which comes in pieces. */
export class DetachScanner {
  readonly #keys: Uint8Array;
  /** How many of the keys were typed just now; they are held back until it is clear what they are. */
  #matched = 0;

  constructor(keys: Uint8Array) {
    this.#keys = keys;
  }

  /** What goes on to the job, and whether the keys are complete. */
  take(typed: Uint8Array): { readonly passed: Uint8Array; readonly isComplete: boolean } {
    if (this.#keys.length === 0) return { passed: Uint8Array.from(typed), isComplete: false };
    const passed: number[] = [];
    for (const byte of typed) {
      const held = [...this.#keys.subarray(0, this.#matched), byte];
      // the keys may begin anew within themselves, as a,a,b in aaab
      while (held.some((one, at) => one !== this.#keys[at])) passed.push(held.shift()!);
      this.#matched = held.length;
      if (this.#matched === this.#keys.length) return { passed: Uint8Array.from(passed), isComplete: true };
    }
    return { passed: Uint8Array.from(passed), isComplete: false };
  }
}
