/** Every message, byte for byte against an independent protobuf library that is told the same tables. */
import { create, createFileRegistry, type DescMessage, fromBinary, toBinary } from '@bufbuild/protobuf';
import {
  FieldDescriptorProto_Label,
  FieldDescriptorProto_Type,
  FileDescriptorProtoSchema,
} from '@bufbuild/protobuf/wkt';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { FieldDescriptor, MessageDescriptor } from './descriptor.ts';
import { decode, ErrorResponse, encode, REQUESTS } from './index.ts';

const TOP: readonly MessageDescriptor[] = [
  ErrorResponse,
  ...Object.values(REQUESTS).flatMap(({ request, response }) => [request, response]),
];

/**
 * The library's descriptors of all messages. Data fields are declared `bytes`, as are strings: their wire
 * form is the same.
 */
function independentDescriptors(): Map<string, DescMessage> {
  const all = new Map<string, MessageDescriptor>();
  const enums = new Map<string, Readonly<Record<string, number>>>();
  const visit = (one: MessageDescriptor): void => {
    all.set(one.name, one);
    for (const field of one.fields) {
      if (field.message) visit(field.message);
      if (field.enum) enums.set(field.enum.name, field.enum.values);
    }
  };
  TOP.forEach(visit);
  const file = create(FileDescriptorProtoSchema, {
    name: 'warden.proto',
    package: 'warden',
    syntax: 'proto2',
    enumType: [...enums].map(([name, values]) => ({
      name: `${name}Enum`,
      value: Object.entries(values).map(([key, number]) => ({ name: `${name}_${key}`, number })),
    })),
    messageType: [...all.values()].map((one) => ({ name: one.name, field: one.fields.map(fieldOf) })),
  });
  const registry = createFileRegistry(file, () => undefined);
  return new Map([...all.keys()].map((name) => [name, registry.getMessage(`warden.${name}`)!]));
}

const TYPES = {
  uint32: FieldDescriptorProto_Type.UINT32,
  uint64: FieldDescriptorProto_Type.UINT64,
  int32: FieldDescriptorProto_Type.INT32,
  bool: FieldDescriptorProto_Type.BOOL,
  string: FieldDescriptorProto_Type.STRING,
  bytes: FieldDescriptorProto_Type.BYTES,
  enum: FieldDescriptorProto_Type.ENUM,
  message: FieldDescriptorProto_Type.MESSAGE,
};
const LABELS = {
  optional: FieldDescriptorProto_Label.OPTIONAL,
  required: FieldDescriptorProto_Label.REQUIRED,
  repeated: FieldDescriptorProto_Label.REPEATED,
};

function fieldOf(field: FieldDescriptor): {
  name: string;
  number: number;
  type: number;
  label: number;
  typeName?: string;
  jsonName: string;
} {
  const typeName = field.message
    ? `.warden.${field.message.name}`
    : field.enum
      ? `.warden.${field.enum.name}Enum`
      : undefined;
  const base = {
    name: field.name,
    number: field.number,
    type: TYPES[field.type],
    label: LABELS[field.label],
    jsonName: field.name,
  };
  return typeName === undefined ? base : { ...base, typeName };
}

/** Any value of a message, with optional fields present or absent. */
function arbitrary(descriptor: MessageDescriptor): fc.Arbitrary<Record<string, unknown>> {
  const properties = Object.fromEntries(
    descriptor.fields.map((field) => [
      field.name,
      field.label === 'repeated'
        ? fc.array(anyValue(field), { minLength: 1, maxLength: 4 })
        : anyValue(field),
    ]),
  );
  const requiredKeys = descriptor.fields.filter(({ label }) => label === 'required').map(({ name }) => name);
  return fc.record(properties, { requiredKeys });
}

function anyValue(field: FieldDescriptor): fc.Arbitrary<unknown> {
  switch (field.type) {
    case 'uint32':
      return fc.oneof(fc.nat(300), fc.integer({ min: 0, max: 0xffffffff }));
    case 'uint64':
      return fc.oneof(fc.bigInt(0n, 300n), fc.bigInt(0n, (1n << 64n) - 1n));
    case 'int32':
      return fc.integer({ min: -0x80000000, max: 0x7fffffff });
    case 'bool':
      return fc.boolean();
    case 'string':
      return fc.string({ unit: 'binary', maxLength: 40 });
    case 'bytes':
      return fc.uint8Array({ maxLength: 300 });
    case 'enum':
      return fc.constantFrom(...Object.values(field.enum!.values));
    case 'message':
      return arbitrary(field.message!);
  }
}

/** Our value as the library wants it: properties in camel case. */
function translate(descriptor: MessageDescriptor, value: Record<string, unknown>): Record<string, unknown> {
  return Object.fromEntries(
    descriptor.fields.flatMap((field) => {
      const property = value[field.name];
      if (property === undefined) return [];
      const one = (item: unknown): unknown =>
        field.message ? translate(field.message, item as Record<string, unknown>) : item;
      const key = field.name.replace(/_([a-z0-9])/g, (_all, letter: string) => letter.toUpperCase());
      return [[key, Array.isArray(property) ? property.map(one) : one(property)]];
    }),
  );
}

const independent = independentDescriptors();

describe('the codec and an independent library', () => {
  it.each(TOP.map((one) => [one.name, one] as const))('agree on %s', (name, descriptor) => {
    const schema = independent.get(name)!;
    fc.assert(
      fc.property(arbitrary(descriptor), (value) => {
        const ours = encode(descriptor, value);
        const theirs = toBinary(schema, create(schema, translate(descriptor, value)));
        expect(Buffer.from(ours).toString('hex')).toBe(Buffer.from(theirs).toString('hex'));
        expect(decode(descriptor, theirs)).toEqual(value);
        expect(Buffer.from(toBinary(schema, fromBinary(schema, ours))).toString('hex')).toBe(
          Buffer.from(ours).toString('hex'),
        );
      }),
      { numRuns: 150 },
    );
  });

  it('agree on what a varint of any size is for a field of 32 bits, but for unsigned ones', () => {
    const fields = (['uint32', 'int32', 'enum', 'bool', 'uint64'] as const).map((type, at) => ({
      ...{ name: type, number: at + 1, label: 'optional' as const, type },
      ...(type === 'enum' && { enum: { name: 'Sign', values: { none: 0, one: 1 } } }),
    }));
    const ours = { name: 'Wide', fields } as unknown as MessageDescriptor<Record<string, unknown>>;
    const file = create(FileDescriptorProtoSchema, {
      name: 'wide.proto',
      package: 'warden',
      syntax: 'proto2',
      enumType: [{ name: 'SignEnum', value: [{ name: 'none', number: 0 }] }],
      messageType: [{ name: 'Wide', field: fields.map(fieldOf) }],
    });
    const theirs = createFileRegistry(file, () => undefined).getMessage('warden.Wide')!;
    fc.assert(
      fc.property(
        fc.constantFrom(...fields.filter(({ type }) => type !== 'enum' && type !== 'uint32')),
        fc.oneof(fc.bigInt(0n, (1n << 64n) - 1n), fc.bigInt(0n, 1n << 33n)),
        ({ name, number }, value) => {
          const bytes = Uint8Array.from([number * 8, ...varint(value)]);
          expect(decode(ours, bytes)).toEqual({ [name]: Reflect.get(fromBinary(theirs, bytes), name) });
        },
      ),
    );
  });
});

function varint(value: bigint): number[] {
  return value < 0x80n ? [Number(value)] : [Number(value & 0x7fn) | 0x80, ...varint(value >> 7n)];
}
