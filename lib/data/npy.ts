import { type FileHandle, open } from 'node:fs/promises';
import type { FluxionError } from '../errors';
import { requireArgument, show } from '../errors';
import type { DType } from '../tensor/dtype';
import { newTypedArray } from '../tensor/dtype';
import { upload } from '../tensor/handle';
import { sizeOf } from '../tensor/shape';
import { Tensor, isTensor } from '../tensor/tensor';
import { corruptFile, unsupportedFile } from './corrupt-file';
import { bytesOf, readElements, readFully, replaceFile, swapByteOrder } from './file-bytes';

const MAGIC = Buffer.from('\x93NUMPY', 'latin1');
const MAX_HEADER = 1 << 16;
const MAX_DIMS = 8;

const DTYPE_OF: Record<string, DType> = {
  f4: 'float32',
  f8: 'float64',
  i4: 'int32',
  u1: 'uint8',
  b1: 'uint8',
};
const DESCR_OF: Record<DType, string> = {
  float32: '<f4',
  float64: '<f8',
  int32: '<i4',
  uint8: '|u1',
};

interface Header {
  dtype: DType;
  swapped: boolean;
  shape: number[];
}

/**
 * Reads an array that numpy.save wrote: float32, float64, int32, uint8 and bool (as uint8), in either byte
 * order, C order.
 *
 * Errors: FLUXION_CORRUPT_FILE when header and length disagree; FLUXION_UNSUPPORTED for other dtypes and
 * Fortran order; those of the file system as Node throws them.
 */
export async function loadNpy(path: string): Promise<Tensor> {
  const handle = await open(path);
  try {
    const { size: length } = await handle.stat();
    const { text, position } = await readHeader(path, handle, length);
    const { dtype, swapped, shape } = parseHeader(path, text);
    const size = sizeOf(shape);
    const bytes = size * newTypedArray(dtype, 0).BYTES_PER_ELEMENT;
    if (bytes !== length - position) {
      throw corrupt(
        path,
        `must have ${bytes} bytes of elements for shape [${shape.join(', ')}], got ${length - position}`,
      );
    }
    const values = await readElements('loadNpy', path, handle, { dtype, size, position });
    if (swapped) await swapByteOrder(values);
    return new Tensor(upload(values, dtype, shape));
  } finally {
    await handle.close();
  }
}

function corrupt(path: string, detail: string): FluxionError {
  return corruptFile('loadNpy', path, detail);
}

/** The header's text and where the elements begin. */
async function readHeader(
  path: string,
  handle: FileHandle,
  length: number,
): Promise<{ text: string; position: number }> {
  const start = Buffer.alloc(Math.min(12, length));
  await readFully('loadNpy', path, handle, start, 0);
  if (start.length < 10 || !start.subarray(0, 6).equals(MAGIC)) {
    throw corrupt(path, `must begin with \\x93NUMPY and a version, got ${start.toString('hex')}`);
  }
  const version = start[6]!;
  if (version < 1 || version > 3) throw corrupt(path, `version must be 1, 2 or 3, got ${version}`);
  const from = version === 1 ? 10 : 12;
  const size =
    version === 1 ? start.readUInt16LE(8) : start.length < 12 ? NaN : start.readUInt32LE(8);
  if (!(size <= MAX_HEADER && from + size <= length)) {
    throw corrupt(path, `must hold its header of ${size} bytes, got a file of ${length} bytes`);
  }
  const text = Buffer.alloc(size);
  await readFully('loadNpy', path, handle, text, from);
  return { text: text.toString('latin1'), position: from + size };
}

function parseHeader(path: string, text: string): Header {
  const descr = /'descr': *'([^']*)'/.exec(text)?.[1];
  const fortran = /'fortran_order': *(True|False)/.exec(text)?.[1];
  const sizes = /'shape': *\(([\d, ]*)\)/.exec(text)?.[1];
  if (descr === undefined || fortran === undefined || sizes === undefined) {
    throw corrupt(
      path,
      `header must name descr, fortran_order and shape, got ${show(text.trim())}`,
    );
  }
  const shape = sizes
    .split(',')
    .filter((size) => size.trim() !== '')
    .map(Number);
  if (shape.length > MAX_DIMS || !Number.isSafeInteger(sizeOf(shape))) {
    throw corrupt(path, `shape must have at most ${MAX_DIMS} possible sizes, got (${sizes})`);
  }
  const dtype = DTYPE_OF[descr.slice(1)];
  if (!dtype || !'<>|='.includes(descr[0]!)) {
    throw unsupportedFile(
      'loadNpy',
      path,
      `dtype '${descr}' is not read; save the array as float32, float64, int32 or uint8 (array.astype)`,
    );
  }
  if (fortran === 'True' && shape.length > 1) {
    throw unsupportedFile(
      'loadNpy',
      path,
      'Fortran order is not read; save numpy.ascontiguousarray(array)',
    );
  }
  return { dtype, swapped: descr.startsWith('>'), shape };
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
