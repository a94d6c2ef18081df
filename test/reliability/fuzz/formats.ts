// Sound files to begin from, the words of each format, and repairs: what makes a changed file look sound again
// (checksums, lengths), so that the change is reached.
import { createHash } from 'node:crypto';
import { crc32, deflateRawSync, gzipSync } from './zlib-checksums';
import type { Random } from './mutate';

export type Repair = (bytes: Buffer, random: Random) => Buffer;

/** The CRC of each chunk of a PNG file. */
export const repairPng: Repair = (bytes) => {
  const fixed = Buffer.from(bytes);
  for (let at = 8; at + 12 <= fixed.length;) {
    const length = fixed.readUInt32BE(at);
    if (at + 12 + length > fixed.length) break;
    fixed.writeUInt32BE(crc32(fixed.subarray(at + 4, at + 8 + length)), at + 8 + length);
    at += 12 + length;
  }
  return fixed;
};

/** The length of the header of a safetensors file: up to its last brace. */
export const repairSafetensors: Repair = (bytes) => {
  const fixed = Buffer.from(bytes);
  const end = fixed.lastIndexOf(0x7d);
  if (end >= 8) fixed.writeBigUInt64LE(BigInt(end - 7), 0);
  return fixed;
};

/** The length of the header of an npy file: up to its line feed. */
export const repairNpy: Repair = (bytes) => {
  const fixed = Buffer.from(bytes);
  const end = fixed.indexOf(0x0a, 10);
  if (end >= 10 && fixed[6] === 1) fixed.writeUInt16LE(Math.min(65535, end - 9), 8);
  return fixed;
};

/** An archive of one entry around the bytes of an npy file. */
export function archiveOf(content: Buffer, random: Random): Buffer {
  const packed = random() < 0.5;
  const stored = packed ? deflateRawSync(content) : content;
  const shared = Buffer.alloc(26);
  shared.writeUInt16LE(20, 0);
  shared.writeUInt16LE(packed ? 8 : 0, 4);
  shared.writeUInt32LE(crc32(content), 10);
  shared.writeUInt32LE(stored.length, 14);
  shared.writeUInt32LE(content.length, 18);
  const names = random() < 0.3 ? ['a.npy', 'a.npy'] : ['a.npy', '__proto__.npy'];
  const parts: Buffer[] = [];
  const directory: Buffer[] = [];
  let offset = 0;
  for (const name of names.slice(0, random() < 0.7 ? 1 : 2)) {
    const fields = Buffer.from(shared);
    fields.writeUInt16LE(name.length, 22);
    const local = Buffer.concat([Buffer.from('PK\x03\x04'), fields, Buffer.from(name), stored]);
    const entry = Buffer.alloc(14);
    entry.writeUInt32LE(offset, 10);
    directory.push(
      Buffer.concat([Buffer.from('PK\x01\x02\x14\x00'), fields, entry, Buffer.from(name)]),
    );
    parts.push(local);
    offset += local.length;
  }
  const index = Buffer.concat(directory);
  const end = Buffer.alloc(22);
  end.write('PK\x05\x06');
  end.writeUInt16LE(directory.length, 8);
  end.writeUInt16LE(directory.length, 10);
  end.writeUInt32LE(index.length, 12);
  end.writeUInt32LE(offset, 16);
  return Buffer.concat([...parts, index, end]);
}

export const compressed: Repair = (bytes) => gzipSync(bytes);

/** Between the files of a checkpoint, in one file of the fuzzer. */
export const BORDER = Buffer.from('\n--------\n');

export function partsOfCheckpoint(bytes: Buffer): [pointer: Buffer, state: Buffer, model: Buffer] {
  const first = bytes.indexOf(BORDER);
  const second = first < 0 ? -1 : bytes.indexOf(BORDER, first + 1);
  const [a, b] = [first < 0 ? bytes.length : first, second < 0 ? bytes.length : second];
  return [
    bytes.subarray(0, a),
    bytes.subarray(Math.min(bytes.length, a + BORDER.length), Math.max(b, a)),
    bytes.subarray(Math.min(bytes.length, b + BORDER.length)),
  ];
}

const sha256 = (bytes: Uint8Array) => createHash('sha256').update(bytes).digest('hex');

/** Lengths and checksums of the files of a checkpoint. */
export const repairCheckpoint: Repair = (bytes) => {
  const [pointer, state, model] = partsOfCheckpoint(bytes);
  const text = state
    .toString('latin1')
    .replace(/"bytes": \d+/, `"bytes": ${model.length}`)
    .replace(/[0-9a-f]{64}/, sha256(model));
  const fixed = Buffer.from(text, 'latin1');
  const named = pointer.toString('latin1').replace(/[0-9a-f]{64}/, sha256(fixed));
  return Buffer.concat([Buffer.from(named, 'latin1'), BORDER, fixed, BORDER, model]);
};
