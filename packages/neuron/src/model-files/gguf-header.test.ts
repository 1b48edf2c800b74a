import { array, assert, integer, nat, property, tuple } from 'fast-check';
import { CortexError } from '@cortex/core';
import { describe, expect, it } from 'vitest';
import { ggufHeaderSteps, type GgufHeader, type MoreNeeded } from './gguf-header.ts';
import { ggufListMax, ggufTypes } from './gguf-metadata.ts';

const u32 = (value: number): Buffer => {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32LE(value);
  return bytes;
};
const u64 = (value: bigint | number): Buffer => {
  const bytes = Buffer.alloc(8);
  bytes.writeBigUInt64LE(BigInt(value));
  return bytes;
};
const text = (value: string): Buffer => Buffer.concat([u64(Buffer.byteLength(value)), Buffer.from(value)]);

const key = (name: string, type: number, ...value: readonly Buffer[]): Buffer =>
  Buffer.concat([text(name), u32(type), ...value]);
const tensor = (name: string, ne: readonly (number | bigint)[], offset: number | bigint, typeId = 0): Buffer =>
  Buffer.concat([text(name), u32(ne.length), ...ne.map(u64), u32(typeId), u64(offset)]);

const headerOf = (
  keys: readonly Buffer[],
  tensors: readonly Buffer[] = [],
  counts: { readonly tensors?: number | bigint; readonly keys?: number | bigint; readonly version?: number } = {},
): Buffer =>
  Buffer.concat([
    Buffer.from('GGUF'),
    u32(counts.version ?? 3),
    u64(counts.tensors ?? tensors.length),
    u64(counts.keys ?? keys.length),
    ...keys,
    ...tensors,
  ]);

const parseGgufHeader = (bytes: Uint8Array, nFileBytes: number, file: string): GgufHeader | MoreNeeded => {
  const steps = ggufHeaderSteps(bytes, nFileBytes, file);
  for (let step = steps.next(); ; step = steps.next()) if (step.done === true) return step.value;
};

const parsed = (bytes: Uint8Array, nFileBytes = bytes.length): GgufHeader => {
  const header = parseGgufHeader(bytes, nFileBytes, 'x.gguf');
  if ('kind' in header) throw new Error(`wants ${header.nBytes} bytes`);
  return header;
};

const good = headerOf(
  [
    key('general.architecture', ggufTypes.string, text('llama')),
    key('llama.block_count', ggufTypes.u32, u32(3)),
    key('flags', ggufTypes.array, u32(ggufTypes.bool), u64(3), Buffer.of(1, 0, 1)),
    key('on', ggufTypes.bool, Buffer.of(1)),
    key('tokens', ggufTypes.array, u32(ggufTypes.string), u64(3), text('a'), text('é'), text('')),
  ],
  [tensor('w', [8, 2], 0), tensor('b', [8], 64)],
);

/** The bytes that it needs, or what it throws. */
const outcomeOf = (bytes: Uint8Array, nFileBytes: number): unknown => {
  try {
    const header = parseGgufHeader(bytes, nFileBytes, 'x.gguf');
    return 'kind' in header ? header.nBytes : bytes.length;
  } catch (error) {
    return error;
  }
};

describe('the header of a GGUF file', () => {
  it('gives its keys by type and its tensors with their places in the file', () => {
    const { metadata, tensors } = parsed(good, good.length + 200);
    expect(metadata.text('general.architecture')).toBe('llama');
    expect(metadata.needNumber('llama.block_count')).toBe(3);
    expect(metadata.numbers('flags')).toEqual([1, 0, 1]);
    expect(metadata.flag('on')).toBe(true);
    expect(metadata.texts('tokens')).toEqual(['a', 'é', '']);
    expect([metadata.textAt('tokens', 1), metadata.textAt('tokens', 3)]).toEqual(['é', null]);
    expect([metadata.indexOfText('tokens', 'é'), metadata.indexOfText('tokens', 'e')]).toEqual([1, -1]);
    expect(metadata.text('nothing')).toBeNull();
    expect(() => metadata.needText('nothing')).toThrow('x.gguf: nothing is missing');
    expect(() => metadata.number('general.architecture')).toThrow('general.architecture is not a number');
    const dataStart = Math.ceil(good.length / 32) * 32;
    expect(tensors).toEqual([
      { name: 'w', ne: [8, 2], typeId: 0, offset: dataStart },
      { name: 'b', ne: [8], typeId: 0, offset: dataStart + 64 },
    ]);
  });

  it('is read in steps where a list is long: others have the thread in between', () => {
    const n = 100_000;
    const tokens = key(
      'tokens',
      ggufTypes.array,
      u32(ggufTypes.string),
      u64(n),
      ...Array.from({ length: n }, () => text('t')),
    );
    const bytes = headerOf([tokens]);
    expect([...ggufHeaderSteps(bytes, bytes.length, 'x.gguf')].length).toBeGreaterThan(10);
    expect(parsed(bytes).metadata.nTexts('tokens')).toBe(n);
  });

  it('has no list made of it that would take all memory', () => {
    const n = ggufListMax + 1;
    const numbers = headerOf([key('k', ggufTypes.array, u32(ggufTypes.u8), u64(n), Buffer.alloc(n))]);
    expect(() => parsed(numbers).metadata.numbers('k')).toThrow(`k is not a list of at most ${ggufListMax} numbers`);
    const texts = headerOf([key('k', ggufTypes.array, u32(ggufTypes.string), u64(n))]);
    expect(() => parsed(texts, 2 ** 40)).toThrow(`a list of ${n} texts is longer than the ${ggufListMax} read`);
  });

  it('says how much more it needs of a file that has more, and in the end has it', () => {
    const sizes = [4];
    for (;;) {
      const header = parseGgufHeader(good.subarray(0, sizes.at(-1)), good.length, 'x.gguf');
      if (!('kind' in header)) break;
      sizes.push(header.nBytes);
    }
    expect(sizes).toEqual(sizes.toSorted((x, y) => x - y));
    expect(sizes.at(-1)).toBe(good.length);
  });

  const list = (type: number, n: number | bigint): Buffer => key('k', ggufTypes.array, u32(type), u64(n));
  const bad: readonly (readonly [string, Buffer, RegExp])[] = [
    ['another magic', Buffer.from('GGML3456789012345678901234567890'), /is not a GGUF file/],
    ['version 1', headerOf([], [], { version: 1 }), /version 1/],
    ['the other byte order', headerOf([], [], { version: 0x0300_0000 }), /version 50331648/],
    ['too many tensors', headerOf([], [], { tensors: 2 ** 40 }), /1099511627776 tensors/],
    ['too many keys', headerOf([], [], { keys: 2 ** 31 }), /2147483648 keys/],
    ['a count beyond any file', headerOf([], [], { keys: 2n ** 63n }), /larger than any file/],
    ['fewer keys than it says', headerOf([], [], { keys: 1 }), /within its header/],
    [
      'a key that is longer than the file',
      headerOf([Buffer.concat([u64(60_000), Buffer.alloc(10)])]),
      /within its header/,
    ],
    ['a key that is too long', headerOf([Buffer.concat([u64(2 ** 31), Buffer.alloc(10)])]), /2147483648 bytes long/],
    ['a key that is no text', headerOf([Buffer.concat([u64(2), Buffer.of(0xff, 0xfe)])]), /not UTF-8/],
    ['a value type that is not', headerOf([key('k', 13)]), /k is of type 13/],
    ['a list in a list', headerOf([list(ggufTypes.array, 1)]), /k is a list of type 9/],
    ['a list of numbers that does not fit', headerOf([list(ggufTypes.u64, 2 ** 50)]), /within its header/],
    [
      'a list of texts that does not fit',
      headerOf([list(ggufTypes.string, 2 ** 50)]),
      /list of 1125899906842624 texts/,
    ],
    [
      'a list of texts of a length that is not there',
      headerOf([Buffer.concat([list(ggufTypes.string, 1), u64(99)])]),
      /within/,
    ],
    [
      'a key twice',
      headerOf([key('k', ggufTypes.u8, Buffer.of(1)), key('k', ggufTypes.u8, Buffer.of(1))]),
      /"k" is there twice/,
    ],
    ['no alignment', headerOf([key('general.alignment', ggufTypes.u32, u32(0))]), /general.alignment is 0/],
    ['an odd alignment', headerOf([key('general.alignment', ggufTypes.u32, u32(48))]), /general.alignment is 48/],
    ['an alignment that is a text', headerOf([key('general.alignment', ggufTypes.string, text('x'))]), /not a number/],
    ['a tensor without axes', headerOf([], [tensor('t', [], 0)]), /"t" has 0 axes/],
    ['a tensor of five axes', headerOf([], [tensor('t', [1, 1, 1, 1, 1], 0)]), /"t" has 5 axes/],
    ['an empty tensor', headerOf([], [tensor('t', [4, 0], 0)]), /shape \[4, 0\] cannot be/],
    ['a tensor of overflowing size', headerOf([], [tensor('t', [2n ** 40n, 2n ** 40n], 0)]), /cannot be/],
    ['a tensor off the alignment', headerOf([], [tensor('t', [4], 8)]), /"t" at 8 is not aligned to 32/],
    ['two tensors of a name', headerOf([], [tensor('t', [4], 0), tensor('t', [4], 32)]), /the same name/],
    ['a tensor beyond any file', headerOf([], [tensor('t', [4], 2n ** 63n)]), /larger than any file/],
  ];
  it.each(bad)('is refused with %s', (_, bytes, message) => {
    expect(() => parsed(bytes)).toThrow(message);
    expect(() => parsed(bytes)).toThrow(CortexError);
  });

  it('is read or refused whatever its bytes, and asks for no more than the file has', () => {
    assert(
      property(
        array(tuple(nat(good.length - 1), integer({ min: 0, max: 255 })), { minLength: 1, maxLength: 6 }),
        nat(good.length),
        (changes, nBytes) => {
          const bytes = Uint8Array.from(good);
          for (const [at, value] of changes) bytes[at] = value;
          const outcome = outcomeOf(bytes.subarray(0, nBytes), bytes.length);
          expect(outcome instanceof CortexError || Number(outcome) <= bytes.length).toBe(true);
        },
      ),
    );
  });
});
