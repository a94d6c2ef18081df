import { crc32 } from './zip';

// Archives as numpy.savez writes them: entries stored, not compressed, no archive above 4 GiB (PKWARE's APPNOTE.TXT).

const VERSION = 20;
/** 1980-01-01: archives of the same content are the same bytes. */
const DATE = 0x21;

/** The bytes of an archive, in pieces. */
export async function* zipParts(
  entries: readonly { name: string; content: readonly Uint8Array[] }[],
): AsyncGenerator<Uint8Array> {
  const directory: Buffer[] = [];
  let offset = 0;
  for (const { name, content } of entries) {
    const path = Buffer.from(name);
    const size = content.reduce((sum, part) => sum + part.byteLength, 0);
    let crc = -1;
    for (const part of content) crc = await crc32(part, crc);
    const shared = Buffer.alloc(26);
    shared.writeUInt16LE(VERSION, 0);
    shared.writeUInt16LE(0x0800, 2); // names are UTF-8
    shared.writeUInt16LE(DATE, 8);
    shared.writeUInt32LE(~crc >>> 0, 10);
    shared.writeUInt32LE(size, 14);
    shared.writeUInt32LE(size, 18);
    shared.writeUInt16LE(path.length, 22);
    const local = Buffer.concat([Buffer.from('PK\x03\x04', 'latin1'), shared, path]);
    const entry = Buffer.concat([
      Buffer.from('PK\x01\x02\x14\x00', 'latin1'),
      shared,
      Buffer.alloc(14), // comment, disk, attributes; last: where the entry begins
      path,
    ]);
    entry.writeUInt32LE(offset, 42);
    directory.push(entry);
    offset += local.length + size;
    yield local;
    yield* content;
  }
  const length = directory.reduce((sum, entry) => sum + entry.length, 0);
  const end = Buffer.alloc(22);
  end.write('PK\x05\x06', 'latin1');
  end.writeUInt16LE(entries.length, 8);
  end.writeUInt16LE(entries.length, 10);
  end.writeUInt32LE(length, 12);
  end.writeUInt32LE(offset, 16);
  yield* directory;
  yield end;
}
