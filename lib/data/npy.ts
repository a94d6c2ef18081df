import { open } from 'node:fs/promises';
import { requireArgument, show } from '../errors';
import { type DType, type TypedArray, bytesPerElement, newTypedArray } from '../tensor/dtype';
import { upload } from '../tensor/handle';
import { sizeOf } from '../tensor/shape';
import { Tensor, isTensor } from '../tensor/tensor';
import { tidy } from '../autograd/tidy';
import { clone, permute } from '../ops/shape';
import { corruptFile, unsupportedFile } from './corrupt-file';
import { type ByteSource, fileSource, memorySource } from './byte-source';
import { bytesOf, replaceFile, swapByteOrder } from './file-bytes';
import { ZipReader } from './zip';

const MAGIC = Buffer.from('\x93NUMPY', 'latin1');
const MAX_HEADER = 1 << 16;
const MAX_DIMS = 8;

const DTYPE_OF: Record<string, DType> = {
  f4: 'float32',
  f8: 'float64',
  i4: 'int32',
  u1: 'uint8',
  b1: 'uint8',
  i8: 'int32',
  c8: 'complex64',
  c16: 'complex128',
};
const DESCR_OF: Record<DType, string> = {
  float32: '<f4',
  float64: '<f8',
  int32: '<i4',
  uint8: '|u1',
  complex64: '<c8',
  complex128: '<c16',
};

interface Header {
  dtype: DType;
  /** int64, the default of NumPy's integers, to become int32. */
  wide: boolean;
  swapped: boolean;
  fortran: boolean;
  shape: number[];
}

/**
 * Reads an array that numpy.save wrote: float32, float64, complex64, complex128, int32, int64 (as int32),
 * uint8 and bool (as uint8), in either byte order, in C or Fortran order.
 *
 * Errors: FLUXION_CORRUPT_FILE when header and length disagree; FLUXION_UNSUPPORTED for other dtypes and
 * for int64 values beyond int32; those of the file system as Node throws them.
 */
export async function loadNpy(path: string): Promise<Tensor> {
  const handle = await open(path);
  try {
    return await readNpy('loadNpy', path, await fileSource('loadNpy', path, handle));
  } finally {
    await handle.close();
  }
}

/**
 * Reads the arrays of a file that numpy.savez or numpy.savez_compressed wrote, by name.
 *
 * Errors: as {@link loadNpy}, and FLUXION_CORRUPT_FILE where lengths or checksums of the archive disagree.
 */
export async function loadNpz(path: string): Promise<Record<string, Tensor>> {
  const handle = await open(path);
  const arrays: [string, Tensor][] = [];
  try {
    const zip = new ZipReader('loadNpz', path, await fileSource('loadNpz', path, handle));
    for (const entry of await zip.entries()) {
      const source = memorySource(await zip.content(entry));
      const tensor = await readNpy('loadNpz', `${path}: ${entry.name}`, source);
      arrays.push([entry.name.replace(/\.npy$/, ''), tensor]);
    }
    return Object.fromEntries(arrays);
  } catch (error) {
    for (const [, tensor] of arrays) tensor.dispose();
    throw error;
  } finally {
    await handle.close();
  }
}

async function readNpy(op: string, path: string, source: ByteSource): Promise<Tensor> {
  const { text, position } = await readHeader(op, path, source);
  const { dtype, wide, swapped, fortran, shape } = parseHeader(op, path, text);
  const size = sizeOf(shape);
  const width = wide ? 8 : bytesPerElement(dtype);
  const bytes = size * width;
  const available = source.length - position;
  if (bytes !== available) {
    throw corruptFile(
      op,
      path,
      `must have ${bytes} bytes of elements for shape [${shape.join(', ')}], got ${available}`,
    );
  }
  const raw = wide ? new Float64Array(size) : newTypedArray(dtype, size);
  await source.read(bytesOf(raw), position);
  if (swapped) await swapByteOrder(raw);
  const values = wide ? narrow(op, path, new Int32Array(raw.buffer)) : raw;
  return fortran ? fromFortran(values, dtype, shape) : new Tensor(upload(values, dtype, shape));
}

/** The low words of little-endian int64 values, where the high ones only repeat the sign. */
function narrow(op: string, path: string, words: Int32Array): Int32Array {
  const values = new Int32Array(words.length / 2);
  for (let i = 0; i < values.length; i++) {
    values[i] = words[2 * i]!;
    if (words[2 * i + 1]! !== values[i]! >> 31) {
      throw unsupportedFile(op, path, `int64 values must fit int32, value ${i} does not`);
    }
  }
  return values;
}

/** Elements whose first index runs fastest. */
function fromFortran(values: TypedArray, dtype: DType, shape: readonly number[]): Tensor {
  const last = shape.length - 1;
  return tidy(() => {
    const transposed = new Tensor(upload(values, dtype, [...shape].reverse()));
    return clone(
      permute(
        transposed,
        shape.map((_, i) => last - i),
      ),
    );
  });
}

/** The header's text and where the elements begin. */
async function readHeader(
  op: string,
  path: string,
  source: ByteSource,
): Promise<{ text: string; position: number }> {
  const { length } = source;
  const start = Buffer.alloc(Math.min(12, length));
  await source.read(start, 0);
  if (start.length < 10 || !start.subarray(0, 6).equals(MAGIC)) {
    const got = start.toString('hex');
    throw corruptFile(op, path, `must begin with \\x93NUMPY and a version, got ${got}`);
  }
  const version = start[6]!;
  if (version < 1 || version > 3) {
    throw corruptFile(op, path, `version must be 1, 2 or 3, got ${version}`);
  }
  const from = version === 1 ? 10 : 12;
  const size =
    version === 1 ? start.readUInt16LE(8) : start.length < 12 ? NaN : start.readUInt32LE(8);
  if (!(size <= MAX_HEADER && from + size <= length)) {
    throw corruptFile(
      op,
      path,
      `must hold its header of ${size} bytes, got ${length} bytes in all`,
    );
  }
  const text = Buffer.alloc(size);
  await source.read(text, from);
  return { text: text.toString('latin1'), position: from + size };
}

function parseHeader(op: string, path: string, text: string): Header {
  const descr = /'descr': *'([^']*)'/.exec(text)?.[1];
  const fortran = /'fortran_order': *(True|False)/.exec(text)?.[1];
  const sizes = /'shape': *\(([\d, ]*)\)/.exec(text)?.[1];
  if (descr === undefined || fortran === undefined || sizes === undefined) {
    throw corruptFile(
      op,
      path,
      `header must name descr, fortran_order and shape, got ${show(text.trim())}`,
    );
  }
  const shape = sizes
    .split(',')
    .filter((size) => size.trim() !== '')
    .map(Number);
  if (shape.length > MAX_DIMS || !Number.isSafeInteger(sizeOf(shape))) {
    throw corruptFile(
      op,
      path,
      `shape must have at most ${MAX_DIMS} possible sizes, got (${sizes})`,
    );
  }
  const dtype = DTYPE_OF[descr.slice(1)];
  if (!dtype || !'<>|='.includes(descr[0]!)) {
    throw unsupportedFile(
      op,
      path,
      `dtype '${descr}' is not read; save the array as float32, float64, complex64, complex128, int32 or uint8 (array.astype)`,
    );
  }
  return {
    dtype,
    wide: descr.endsWith('i8'),
    swapped: descr.startsWith('>'),
    fortran: fortran === 'True' && shape.length > 1,
    shape,
  };
}

/** Writes a tensor as numpy.load reads it, replacing the file as a whole. */
export async function saveNpy(tensor: Tensor, path: string): Promise<void> {
  requireArgument(isTensor(tensor), 'saveNpy', () => `value must be a tensor, got ${show(tensor)}`);
  const { dtype, shape } = tensor;
  const values = await tensor.data();
  const sizes = shape.length === 1 ? `${shape[0]},` : shape.join(', ');
  const text = `{'descr': '${DESCR_OF[dtype]}', 'fortran_order': False, 'shape': (${sizes}), }`;
  // Elements begin at a multiple of 64 bytes; the header ends with a line feed.
  const padding = 63 - ((10 + text.length) % 64);
  const header = Buffer.from(`${text}${' '.repeat(padding)}\n`, 'latin1');
  const start = Buffer.from([...MAGIC, 1, 0, header.length & 0xff, header.length >> 8]);
  await replaceFile(path, [start, header, bytesOf(values)]);
}
