// Changes to the bytes of a file: flipped bits, lengths and counts that lie, pieces cut out, repeated or taken from
// another file, numbers in text, words of the format.

export type Random = () => number;

const INTERESTING = [
  ...[0, 1, 2, 7, 8, 9, 127, 128, 255, 256, 1024, 32767, 32768, 65535, 65536, 2 ** 24],
  ...[2 ** 31 - 1, 2 ** 31, 2 ** 32 - 1, 2 ** 32 - 2],
];
const DECIMALS = [
  ...['0', '-1', '-0', '1', '2', '9', '1e2', '0.5', '255', '4294967296', '9007199254740992'],
  ...['1000000000000000', '99999999999999999999', '1e400', 'NaN', 'null', '"x"', '[]', '{}'],
];

const below = (random: Random, n: number) => Math.floor(random() * n);
const pick = <T>(random: Random, list: readonly T[]): T => list[below(random, list.length)]!;

function spliced(bytes: Buffer, at: number, removed: number, put: Uint8Array): Buffer {
  return Buffer.concat([bytes.subarray(0, at), put, bytes.subarray(at + removed)]);
}

type Change = (bytes: Buffer, random: Random, other: Buffer, words: readonly string[]) => Buffer;

/** A number of 1 to 8 bytes in either order, interesting or near the one that stands there. */
const writeNumber: Change = (bytes, random) => {
  const width = pick(random, [1, 2, 4, 8]);
  if (bytes.length < width) return bytes;
  const at = below(random, bytes.length - width + 1);
  const changed = Buffer.from(bytes);
  const old = width === 8 ? 0 : bytes.readUIntLE(at, width);
  const value =
    random() < 0.3
      ? old + pick(random, [-2, -1, 1, 2])
      : random() < 0.2
        ? bytes.length + pick(random, [-1, 0, 1])
        : pick(random, INTERESTING);
  const word = BigInt.asUintN(8 * width, BigInt(value) * (random() < 0.1 ? 2n ** 31n : 1n));
  for (let i = 0n; i < width; i++) changed[at + Number(i)] = Number((word >> (8n * i)) & 255n);
  if (random() < 0.5) changed.subarray(at, at + width).reverse();
  return changed;
};

const writeDecimal: Change = (bytes, random) => {
  const places = [...bytes.toString('latin1').matchAll(/\d+/g)];
  if (places.length === 0) return bytes;
  const place = pick(random, places);
  return spliced(bytes, place.index, place[0].length, Buffer.from(pick(random, DECIMALS)));
};

const CHANGES: Change[] = [
  (bytes, random) => {
    const changed = Buffer.from(bytes);
    if (bytes.length > 0) changed[below(random, bytes.length)]! ^= 1 << below(random, 8);
    return changed;
  },
  (bytes, random) => {
    const changed = Buffer.from(bytes);
    if (bytes.length > 0) changed[below(random, bytes.length)] = below(random, 256);
    return changed;
  },
  writeNumber,
  writeNumber,
  writeDecimal,
  (bytes, random) => bytes.subarray(0, below(random, bytes.length + 1)),
  (bytes, random) => {
    const at = below(random, bytes.length + 1);
    return spliced(bytes, at, below(random, Math.min(64, bytes.length - at + 1)), Buffer.alloc(0));
  },
  (bytes, random) => {
    const at = below(random, bytes.length + 1);
    const piece = bytes.subarray(at, at + 1 + below(random, 64));
    return spliced(bytes, below(random, bytes.length + 1), 0, piece);
  },
  (bytes, random, other) => {
    const at = below(random, other.length + 1);
    const piece = other.subarray(at, at + below(random, 256));
    const to = below(random, bytes.length + 1);
    return spliced(bytes, to, random() < 0.5 ? piece.length : 0, piece);
  },
  (bytes, random, _, words) => {
    if (words.length === 0) return bytes;
    const word = Buffer.from(pick(random, words), 'latin1');
    const at = below(random, bytes.length + 1);
    return spliced(bytes, at, random() < 0.5 ? word.length : 0, word);
  },
  (bytes, random, _, words) => {
    // One word of the format in the place of another.
    const text = bytes.toString('latin1');
    const found = words.filter((word) => text.includes(word));
    if (found.length === 0) return bytes;
    const old = pick(random, found);
    return spliced(
      bytes,
      text.indexOf(old),
      old.length,
      Buffer.from(pick(random, words), 'latin1'),
    );
  },
];

const LONGEST = 1 << 16;

/** A file that differs from another in one to four places. */
export function mutate(
  bytes: Buffer,
  random: Random,
  other: Buffer,
  words: readonly string[],
): Buffer {
  let changed = bytes;
  for (let left = 1 + below(random, 4); left > 0; left--)
    changed = pick(random, CHANGES)(changed, random, other, words);
  return changed.subarray(0, LONGEST);
}
