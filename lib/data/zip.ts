import { promisify } from 'node:util';
import { setImmediate } from 'node:timers/promises';
import { inflateRaw } from 'node:zlib';
import type { ByteSource } from './byte-source';
import { corruptFile, unsupportedFile } from './corrupt-file';

// The part of the ZIP format that numpy.savez writes (PKWARE's APPNOTE.TXT, 4.3): entries stored or deflated,
// found through the central directory. No encryption, no archives of more than 4 GiB.

const inflate = promisify(inflateRaw);

const END = { signature: 0x06054b50, size: 22, maxComment: 0xffff };
const ENTRY = { signature: 0x02014b50, size: 46 };
const LOCAL = { signature: 0x04034b50, size: 30 };
const STORED = 0;
const DEFLATED = 8;
const ENCRYPTED = 1;
const ZIP64 = 0xffffffff;

/** An entry of the central directory. */
export interface ZipEntry {
  name: string;
  method: number;
  crc: number;
  packed: number;
  size: number;
  /** Where its local header begins. */
  offset: number;
}

export class ZipReader {
  constructor(
    private readonly op: string,
    private readonly path: string,
    private readonly source: ByteSource,
  ) {}

  private corrupt(detail: string, cause?: unknown) {
    return corruptFile(this.op, this.path, detail, cause);
  }

  private async bytes(position: number, length: number, what: string): Promise<Buffer> {
    if (position < 0 || position + length > this.source.length) {
      throw this.corrupt(
        `${what} must lie inside the file of ${this.source.length} bytes, ` +
          `got bytes ${position} to ${position + length}`,
      );
    }
    const bytes = Buffer.alloc(length);
    await this.source.read(bytes, position);
    return bytes;
  }

  /** The entries, in the order of the central directory. */
  async entries(): Promise<ZipEntry[]> {
    const tailLength = Math.min(this.source.length, END.size + END.maxComment);
    const tail = await this.bytes(this.source.length - tailLength, tailLength, 'the end');
    let at = tail.length - END.size;
    while (at >= 0 && tail.readUInt32LE(at) !== END.signature) at--;
    if (at < 0)
      throw this.corrupt('must end with the directory of a ZIP archive, which is not there');
    const count = tail.readUInt16LE(at + 10);
    const length = tail.readUInt32LE(at + 12);
    const offset = tail.readUInt32LE(at + 16);
    if (offset === ZIP64) throw this.unsupported('archives of more than 4 GiB are not read');
    const entries = this.parse(await this.bytes(offset, length, 'the directory'), count);
    this.requireApart(entries, offset);
    return entries;
  }

  /** Entries with a name each, one behind another: overlapping ones could make much of a small file. */
  private requireApart(entries: readonly ZipEntry[], end: number): void {
    const names = new Set<string>();
    for (const { name } of entries) {
      if (names.has(name)) throw this.corrupt(`must have each name once, got ${name} again`);
      names.add(name);
    }
    const sorted = [...entries].sort((a, b) => a.offset - b.offset);
    sorted.forEach(({ name, offset, packed }, i) => {
      const next = sorted[i + 1]?.offset ?? end;
      if (offset + LOCAL.size + packed <= next) return;
      throw this.corrupt(`${name} must end before byte ${next}, where another part begins`);
    });
  }

  private parse(directory: Buffer, count: number): ZipEntry[] {
    const entries: ZipEntry[] = [];
    let at = 0;
    for (let i = 0; i < count; i++) {
      const whole = at + ENTRY.size <= directory.length;
      if (!whole || directory.readUInt32LE(at) !== ENTRY.signature) {
        throw this.corrupt(`the directory must have ${count} entries, got ${i}`);
      }
      const lengths = [28, 30, 32].map((field) => directory.readUInt16LE(at + field));
      const name = directory.toString('utf8', at + ENTRY.size, at + ENTRY.size + lengths[0]!);
      const [packed, size] = [directory.readUInt32LE(at + 20), directory.readUInt32LE(at + 24)];
      if (directory.readUInt16LE(at + 8) & ENCRYPTED)
        throw this.unsupported(`${name} is encrypted`);
      if (packed === ZIP64 || size === ZIP64) {
        throw this.unsupported(`${name} has more than 4 GiB, which is not read`);
      }
      const [method, crc] = [directory.readUInt16LE(at + 10), directory.readUInt32LE(at + 16)];
      entries.push({ name, method, crc, packed, size, offset: directory.readUInt32LE(at + 42) });
      at += ENTRY.size + lengths.reduce((a, b) => a + b);
    }
    return entries;
  }

  private unsupported(detail: string) {
    return unsupportedFile(this.op, this.path, detail);
  }

  /** The content of an entry, unpacked and compared with its length and checksum. */
  async content({ name, method, crc, packed, size, offset }: ZipEntry): Promise<Uint8Array> {
    const local = await this.bytes(offset, LOCAL.size, `the header of ${name}`);
    if (local.readUInt32LE(0) !== LOCAL.signature) {
      throw this.corrupt(`${name} must begin at byte ${offset}, which is no header`);
    }
    const begin = offset + LOCAL.size + local.readUInt16LE(26) + local.readUInt16LE(28);
    const bytes = await this.bytes(begin, packed, name);
    const content = await this.unpack(name, method, bytes, size);
    if (content.length !== size) {
      throw this.corrupt(`${name} must have ${size} bytes, got ${content.length}`);
    }
    if (~(await crc32(content)) >>> 0 !== crc) throw this.corrupt(`${name} must have its checksum`);
    return content;
  }

  private async unpack(
    name: string,
    method: number,
    bytes: Buffer,
    size: number,
  ): Promise<Uint8Array> {
    if (method === STORED) return bytes;
    if (method !== DEFLATED) throw this.unsupported(`${name} is packed by method ${method}`);
    try {
      // One byte more than it may have, so that an empty entry is allowed too.
      return await inflate(bytes, { maxOutputLength: size + 1 });
    } catch (error) {
      throw this.corrupt(
        `${name} must be ${size} bytes, deflated: ${(error as Error).message}`,
        error,
      );
    }
  }
}

/** Remainders of CRC-32 (polynomial 0xedb88320, reflected) for each byte. */
const REMAINDERS = Uint32Array.from({ length: 256 }, (_, byte) => {
  let remainder = byte;
  for (let bit = 0; bit < 8; bit++)
    remainder = (remainder >>> 1) ^ (remainder & 1 ? 0xedb88320 : 0);
  return remainder;
});

/** Checksum of the ZIP format before its last complement, continued from `crc`, in pieces of a few ms. */
export async function crc32(bytes: Uint8Array, crc = -1): Promise<number> {
  const PIECE = 1 << 20;
  let rest = crc;
  for (let from = 0; from < bytes.length; from += PIECE) {
    const to = Math.min(from + PIECE, bytes.length);
    for (let i = from; i < to; i++) rest = (rest >>> 8) ^ REMAINDERS[(rest ^ bytes[i]!) & 0xff]!;
    if (to < bytes.length) await setImmediate();
  }
  return rest;
}
