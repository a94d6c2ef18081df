import { open } from 'node:fs/promises';
import type { Readable } from 'node:stream';
import { type Gunzip, createGunzip } from 'node:zlib';
import type { FluxionError } from '../errors';
import { type DType, type TypedArray, newTypedArray } from '../tensor/dtype';
import { upload } from '../tensor/handle';
import { Tensor } from '../tensor/tensor';
import { corruptFile, unsupportedFile } from './corrupt-file';
import { bytesOf, swapByteOrder } from './file-bytes';

const OP = 'loadIdx';
const MAX_DIMS = 8;
const MAX_BYTES = 2 ** 31;
/** Deflate compresses by no more than this. */
const MAX_RATIO = 1032;

const DTYPE_OF: Record<number, DType> = {
  0x08: 'uint8',
  0x0c: 'int32',
  0x0d: 'float32',
  0x0e: 'float64',
};
const NOT_READ: Record<number, string> = { 0x09: 'int8', 0x0b: 'int16' };

/**
 * Reads an IDX file, the format of MNIST: two zero bytes, the type, the number of dimensions, their sizes
 * (32 bits, big-endian), the elements (big-endian). Files compressed with gzip are recognised.
 *
 * Returns uint8, int32, float32 or float64 of the shape that the file names. Errors: FLUXION_CORRUPT_FILE
 * when header and length disagree; FLUXION_UNSUPPORTED for int8 and int16; above 2 GiB; those of the file
 * system as Node throws them. Memory: the elements once, beside the tensor.
 */
export async function loadIdx(path: string): Promise<Tensor> {
  const handle = await open(path);
  try {
    const { size } = await handle.stat();
    const start = new Uint8Array(2);
    await handle.read(start, 0, 2, 0);
    const gzip = start[0] === 0x1f && start[1] === 0x8b;
    const reader = new IdxReader(path, gzip ? size * MAX_RATIO : size);
    const file = handle.createReadStream({ start: 0, autoClose: false, highWaterMark: 1 << 20 });
    const unzipped = gzip ? unzip(file) : null;
    try {
      for await (const chunk of unzipped ?? file) reader.push(chunk as Uint8Array);
    } catch (error) {
      if (!isZlibError(error)) throw error;
      throw corruptFile(OP, path, `must be valid gzip, got: ${(error as Error).message}`, error);
    }
    const { dtype, shape, values } = reader.finish();
    if (unzipped && unzipped.bytesWritten !== size) {
      const rest = size - unzipped.bytesWritten;
      throw corruptFile(OP, path, `must end with its gzip data, got ${rest} bytes behind them`);
    }
    if (values.BYTES_PER_ELEMENT > 1) await swapByteOrder(values);
    return new Tensor(upload(values, dtype, shape));
  } finally {
    await handle.close();
  }
}

function unzip(file: Readable): Gunzip {
  const unzipped = createGunzip();
  file.on('error', (error) => unzipped.destroy(error));
  return file.pipe(unzipped);
}

function isZlibError(error: unknown): boolean {
  return String((error as { code?: unknown }).code).startsWith('Z_');
}

interface Header {
  dtype: DType;
  shape: number[];
  values: TypedArray;
}

/** Takes the bytes as they come; allocates when the header is known to be possible. */
class IdxReader {
  private head = new Uint8Array(0);
  private header: Header | null = null;
  private filled = 0;

  constructor(
    private readonly path: string,
    /** More bytes than this cannot follow. */
    private readonly maxBytes: number,
  ) {}

  push(chunk: Uint8Array): void {
    let body = chunk;
    if (!this.header) {
      this.head = Buffer.concat([this.head, chunk]);
      const length = this.headerLength();
      if (length === undefined || this.head.length < length) return;
      this.header = this.parseHeader(length);
      body = this.head.subarray(length);
    }
    const bytes = bytesOf(this.header.values);
    if (this.filled + body.length > bytes.length) throw this.wrongLength(this.header, 'more');
    bytes.set(body, this.filled);
    this.filled += body.length;
  }

  finish(): Header {
    if (!this.header) {
      throw corruptFile(OP, this.path, `must hold a whole header, got ${this.head.length} bytes`);
    }
    if (this.filled < this.header.values.byteLength) {
      throw this.wrongLength(this.header, String(this.filled));
    }
    return this.header;
  }

  private wrongLength({ values, shape }: Header, got: string): FluxionError {
    return corruptFile(
      OP,
      this.path,
      `must have ${values.byteLength} bytes of elements for shape [${shape.join(', ')}], got ${got}`,
    );
  }

  private headerLength(): number | undefined {
    const [zero0, zero1, type, ndim] = this.head;
    if (ndim === undefined) return undefined;
    const known = DTYPE_OF[type!] ?? NOT_READ[type!];
    if (zero0 !== 0 || zero1 !== 0 || !known || ndim < 1 || ndim > MAX_DIMS) {
      const magic = Buffer.from(this.head.subarray(0, 4)).toString('hex');
      throw corruptFile(OP, this.path, `must begin as IDX files do (0000 type ndim), got ${magic}`);
    }
    return 4 + 4 * ndim;
  }

  private parseHeader(length: number): Header {
    const type = this.head[2]!;
    const dtype = DTYPE_OF[type];
    if (!dtype)
      throw unsupportedFile(OP, this.path, `elements of type ${NOT_READ[type]} are not read`);
    const view = new DataView(this.head.buffer, this.head.byteOffset);
    const shape = Array.from({ length: length / 4 - 1 }, (_, i) => view.getUint32(4 + 4 * i));
    const width = newTypedArray(dtype, 0).BYTES_PER_ELEMENT;
    const bytes = shape.reduce((product, n) => product * n, width);
    if (!(length + bytes <= this.maxBytes)) {
      throw corruptFile(
        OP,
        this.path,
        `must have ${bytes} bytes of elements for shape [${shape.join(', ')}], ` +
          `got at most ${Math.max(0, this.maxBytes - length)}`,
      );
    }
    if (bytes > MAX_BYTES)
      throw unsupportedFile(OP, this.path, `${bytes} bytes are more than 2 GiB`);
    return { dtype, shape, values: newTypedArray(dtype, bytes / width) };
  }
}
