import type { FileHandle } from 'node:fs/promises';
import { readFully } from './file-bytes';

/** Bytes of known length that can be read anywhere: a file, or a part of one that was unpacked. */
export interface ByteSource {
  readonly length: number;
  /** Fills `to` from a position; the caller has compared both with the length. */
  read(to: Uint8Array, position: number): Promise<void>;
}

export async function fileSource(
  op: string,
  path: string,
  handle: FileHandle,
): Promise<ByteSource> {
  const { size } = await handle.stat();
  return { length: size, read: (to, position) => readFully(op, path, handle, to, position) };
}

export function memorySource(bytes: Uint8Array): ByteSource {
  return {
    length: bytes.length,
    read(to, position) {
      to.set(bytes.subarray(position, position + to.length));
      return Promise.resolve();
    },
  };
}
