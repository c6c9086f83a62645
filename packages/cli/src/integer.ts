/** Integer literals as the original accepted them. */
import { WardenError } from '@warden/interface';
import { CommandError } from './command-error.ts';
import { inspect } from './split-line.ts';

const LITERAL =
  /^([+-]?)(?:0x([0-9a-f]+(?:_[0-9a-f]+)*)|0b([01]+(?:_[01]+)*)|0o?((?:_?[0-7]+)(?:_[0-7]+)*)|(0|[1-9][0-9]*(?:_[0-9]+)*))$/i;

/** Inclusive bounds of the wire's integer types. */
const BOUNDS: Readonly<Record<IntegerType, readonly [bigint, bigint]>> = {
  int32: [-(2n ** 31n), 2n ** 31n - 1n],
  int64: [-(2n ** 63n), 2n ** 63n - 1n],
  uint32: [0n, 2n ** 32n - 1n],
  uint64: [0n, 2n ** 64n - 1n],
};

/** Integer types of the wire. */
export type IntegerType = 'int32' | 'int64' | 'uint32' | 'uint64';

/** Whether `type` is an integer type. */
export function isIntegerType(type: string): type is IntegerType {
  return Object.hasOwn(BOUNDS, type);
}

/**
 * The value of a literal: decimal, `0x`, `0b`, `0` or `0o` octal, sign, `_` between digits. `flag`: whose
 * value it is.
 *
 * Errors, whose `advice` names flag and range: not a literal (syntax error), out of the type's range
 * (`INVALID_SPEC` with the original's text, `of of` included).
 */
export function parseInteger(text: string, type: IntegerType, flag: string): bigint {
  const match = LITERAL.exec(text);
  const [least, greatest] = BOUNDS[type];
  const fields = { flag, advice: `${flag} takes a whole number from ${least} to ${greatest}` };
  if (match === null) throw new CommandError(`invalid value for Integer(): ${inspect(text)}`, fields);
  const [, sign, hex, binary, octal, decimal] = match;
  const digits = (prefix: string, value: string | undefined) => value && prefix + value.replaceAll('_', '');
  const literal = digits('0x', hex) ?? digits('0b', binary) ?? digits('0o', octal) ?? digits('', decimal);
  const value = sign === '-' ? -BigInt(literal!) : BigInt(literal!);
  if (value < least || value > greatest) {
    throw new WardenError('INVALID_SPEC', `Value of of range: ${value}`, {
      fields: { operation: 'parse', value: String(value), type, ...fields },
    });
  }
  return value;
}
