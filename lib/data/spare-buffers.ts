import type { Allocate, HostArray } from './host-array';

/** More buffers than any chain of transforms needs at a time would only hold memory. */
const MOST_SPARE = 32;

/** Memory of batches that have been read, to be used again: fresh memory costs page faults and collections. */
export class SpareBuffers {
  private readonly spare: ArrayBuffer[] = [];

  private take(bytes: number): ArrayBuffer {
    const fits = (buffer: ArrayBuffer) =>
      buffer.byteLength >= bytes && buffer.byteLength <= 2 * bytes;
    const at = this.spare.findIndex(fits);
    return at < 0 ? new ArrayBuffer(bytes) : this.spare.splice(at, 1)[0]!;
  }

  keep(buffers: Iterable<ArrayBuffer>): void {
    this.spare.push(...buffers);
    if (this.spare.length > MOST_SPARE) this.spare.splice(0, this.spare.length - MOST_SPARE);
  }

  /** An allocator, and the buffers that it has given out. */
  lend(): { allocate: Allocate; issued: Set<ArrayBuffer> } {
    const issued = new Set<ArrayBuffer>();
    const allocate: Allocate = (like, length) => {
      const buffer = this.take(length * like.BYTES_PER_ELEMENT);
      issued.add(buffer);
      return new (like.constructor as new (...args: unknown[]) => typeof like)(buffer, 0, length);
    };
    return { allocate, issued };
  }
}

/** The buffers behind arrays. */
export function buffersOf(arrays: readonly HostArray[]): Set<ArrayBuffer> {
  return new Set(arrays.map(({ data }) => data.buffer as ArrayBuffer));
}
