/** Messages as tables. The codec, the command line's flags and the tests are driven by them. */

/** Scalar types that occur, plus the two composed ones. */
export type FieldType = 'uint32' | 'uint64' | 'int32' | 'bool' | 'string' | 'bytes' | 'enum' | 'message';

/** Names and numbers of an enum. Decoding keeps numbers that are not listed, encoding refuses them. */
export interface EnumDescriptor {
  readonly name: string;
  readonly values: Readonly<Record<string, number>>;
}

/** One field. */
export interface FieldDescriptor {
  /** Name in the protocol and of the property. */
  readonly name: string;
  readonly number: number;
  readonly label: 'optional' | 'required' | 'repeated';
  /**
   * `bytes` is used for the protocol's `string` fields that carry data (scripts, output): their value is a
   * `Uint8Array`. Other `string` fields are JavaScript strings that hold any bytes, see `byte-string.ts`. The
   * wire is the same.
   */
  readonly type: FieldType;
  /** For `message`. */
  readonly message?: MessageDescriptor;
  /** For `enum`. */
  readonly enum?: EnumDescriptor;
}

/** One message; `T` is the TypeScript type of its values. */
export interface MessageDescriptor<T = unknown> {
  readonly name: string;
  /** In ascending order of their numbers. */
  readonly fields: readonly FieldDescriptor[];
  /** Never present: ties the table to its type. */
  readonly valueType?: T;
}

type Options = Pick<FieldDescriptor, 'message' | 'enum'>;

/** Makes the functions that write tables down shortly. */
function label(
  name: FieldDescriptor['label'],
): (number: number, field: string, type: FieldType, options?: Options) => FieldDescriptor {
  return (number, field, type, options = {}) => ({ name: field, number, label: name, type, ...options });
}

export const optional: ReturnType<typeof label> = label('optional');
export const required: ReturnType<typeof label> = label('required');
export const repeated: ReturnType<typeof label> = label('repeated');

/** Puts a message together. */
export function message<T>(name: string, ...fields: readonly FieldDescriptor[]): MessageDescriptor<T> {
  return { name, fields: [...fields].sort((a, b) => a.number - b.number) };
}
