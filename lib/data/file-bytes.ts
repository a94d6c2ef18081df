import { type FileHandle, open, rename, rm } from 'node:fs/promises';
import { randomBytes } from 'node:crypto';
import path from 'node:path';
import { setImmediate } from 'node:timers/promises';
import { corruptFile } from './corrupt-file';

/** Bytes of one read or write: few enough that hashing them does not hold up the event loop (about 5 ms). */
const PIECE = 1 << 22;

export function bytesOf(array: ArrayBufferView): Uint8Array {
  return new Uint8Array(array.buffer, array.byteOffset, array.byteLength);
}

/** Fills `to` from a position of a file; the caller has checked that the file is long enough. */
export async function readFully(
  op: string,
  file: string,
  handle: FileHandle,
  to: Uint8Array,
  position: number,
): Promise<void> {
  for (let done = 0; done < to.byteLength;) {
    const length = Math.min(PIECE, to.byteLength - done);
    const { bytesRead } = await handle.read(to, done, length, position + done);
    if (bytesRead === 0) throw corruptFile(op, file, 'must not become shorter while it is read');
    done += bytesRead;
  }
}

/** Reverses the bytes of each element, in pieces that leave the event loop its turn. */
export async function swapByteOrder(
  values: ArrayBufferView & { BYTES_PER_ELEMENT: number },
  width = values.BYTES_PER_ELEMENT,
): Promise<void> {
  const bytes = Buffer.from(values.buffer, values.byteOffset, values.byteLength);
  for (let at = 0; at < bytes.length; at += PIECE) {
    const piece = bytes.subarray(at, at + PIECE);
    if (width === 2) piece.swap16();
    else if (width === 4) piece.swap32();
    else if (width === 8) piece.swap64();
    await setImmediate();
  }
}

/** Makes the entries of a folder durable. Windows has no such call and needs none. */
export async function syncFolder(folder: string): Promise<void> {
  if (process.platform === 'win32') return;
  const handle = await open(folder, 'r');
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
}

/** Writes a new file and waits until it is on the disk. `seen` gets each piece, to hash it. */
export async function writeDurably(
  file: string,
  parts: Iterable<Uint8Array> | AsyncIterable<Uint8Array>,
  seen?: (piece: Uint8Array) => void,
): Promise<void> {
  const handle = await open(file, 'wx');
  try {
    for await (const part of parts) {
      for (let at = 0; at < part.byteLength; at += PIECE) {
        const piece = part.subarray(at, at + PIECE);
        seen?.(piece);
        for (let done = 0; done < piece.byteLength;) {
          done += (await handle.write(piece, done)).bytesWritten;
        }
      }
    }
    await handle.sync();
  } finally {
    await handle.close();
  }
}

/**
 * Replaces a file as a whole: a reader, and a crash at any moment, finds the old content or the new.
 * The new content is written beside it, forced to the disk and renamed.
 */
export async function replaceFile(
  file: string,
  parts: Iterable<Uint8Array> | AsyncIterable<Uint8Array>,
): Promise<void> {
  const folder = path.dirname(file);
  const fresh = path.join(folder, `.${path.basename(file)}.${randomBytes(6).toString('hex')}.tmp`);
  try {
    await writeDurably(fresh, parts);
    await rename(fresh, file);
  } catch (error) {
    await rm(fresh, { force: true });
    throw error;
  }
  await syncFolder(folder);
}
