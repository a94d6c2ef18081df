import { open } from 'node:fs/promises';
import { requireArgument, show } from '../errors';
import { type DType, type TypedArray, bytesPerElement, newTypedArray } from '../tensor/dtype';
import { upload } from '../tensor/handle';
import { sizeOf } from '../tensor/shape';
import { Tensor, isTensor } from '../tensor/tensor';
import { tidy } from '../autograd/tidy';
import { withDefaults } from '../ops/define';
import { clone, permute } from '../ops/shape';
import { corruptFile, unsupportedFile } from './corrupt-file';
import { type ByteSource, fileSource, memorySource } from './byte-source';
import { bytesOf, replaceFile, swapByteOrder } from './file-bytes';
import {
  type FileType,
  type WideIntegerOptions,
  fileBytesOf,
  isNarrow,
  widen,
  widenedDType,
} from './widen';
import { ZipReader } from './zip';
import { zipParts } from './zip-writer';

const MAGIC = Buffer.from('\x93NUMPY', 'latin1');
const MAX_HEADER = 1 << 16;
const MAX_DIMS = 8;

const TYPE_OF: Record<string, FileType> = {
  f2: 'float16',
  f4: 'float32',
  f8: 'float64',
  i1: 'int8',
  i2: 'int16',
  i4: 'int32',
  i8: 'int64',
  u1: 'uint8',
  u2: 'uint16',
  u4: 'uint32',
  u8: 'uint64',
  b1: 'bool',
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
  type: FileType;
  swapped: boolean;
  fortran: boolean;
  shape: number[];
}

function checkOptions(op: string, options: WideIntegerOptions | undefined): WideIntegerOptions {
  const given = withDefaults<Required<WideIntegerOptions>>(op, options, { wideIntegers: 'int32' });
  requireArgument(
    ['int32', 'float64'].includes(given.wideIntegers),
    op,
    () => `wideIntegers must be 'int32' or 'float64', got ${show(given.wideIntegers)}`,
  );
  return given;
}

/**
 * Reads an array that numpy.save wrote, in either byte order, in C or Fortran order. Types that tensors do not
 * have are widened: bool to uint8; int8, int16, uint16 to int32; float16 to float32; uint32, int64 and uint64 to
 * int32, where every value fits, or to float64 (`wideIntegers`).
 *
 * Errors: FLUXION_CORRUPT_FILE when header and length disagree; FLUXION_UNSUPPORTED for other types and for
 * integers beyond int32; those of the file system as Node throws them.
 */
export async function loadNpy(path: string, options?: WideIntegerOptions): Promise<Tensor> {
  const given = checkOptions('loadNpy', options);
  const handle = await open(path);
  try {
    return await readNpy('loadNpy', path, await fileSource('loadNpy', path, handle), given);
  } finally {
    await handle.close();
  }
}

/**
 * Reads the arrays of a file that numpy.savez or numpy.savez_compressed wrote, by name.
 *
 * Types and errors: as {@link loadNpy}, and FLUXION_CORRUPT_FILE where lengths or checksums of the archive disagree.
 */
export async function loadNpz(
  path: string,
  options?: WideIntegerOptions,
): Promise<Record<string, Tensor>> {
  const given = checkOptions('loadNpz', options);
  const handle = await open(path);
  const arrays: [string, Tensor][] = [];
  try {
    const zip = new ZipReader('loadNpz', path, await fileSource('loadNpz', path, handle));
    for (const entry of await zip.entries()) {
      const source = memorySource(await zip.content(entry));
      const tensor = await readNpy('loadNpz', `${path}: ${entry.name}`, source, given);
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

async function readNpy(
  op: string,
  path: string,
  source: ByteSource,
  options: WideIntegerOptions,
): Promise<Tensor> {
  const { text, position } = await readHeader(op, path, source);
  const { type, swapped, fortran, shape } = parseHeader(op, path, text);
  const size = sizeOf(shape);
  const bytes = size * fileBytesOf(type, bytesPerElement);
  const available = source.length - position;
  if (bytes !== available) {
    throw corruptFile(
      op,
      path,
      `must have ${bytes} bytes of elements for shape [${shape.join(', ')}], got ${available}`,
    );
  }
  const dtype = widenedDType(type, options);
  let values: TypedArray;
  if (isNarrow(type)) {
    const raw = new Uint8Array(bytes);
    await source.read(raw, position);
    if (swapped) await swapByteOrder(raw, bytes / Math.max(size, 1));
    values = await widen(op, path, type, raw, options);
  } else {
    values = newTypedArray(dtype, size);
    await source.read(bytesOf(values), position);
    if (swapped) await swapByteOrder(values);
  }
  return fortran ? fromFortran(values, dtype, shape) : new Tensor(upload(values, dtype, shape));
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

/** An entry of the header, as Python writes it: text, True or False, a tuple of integers. */
const ENTRY = /^'(descr|fortran_order|shape)' *: *(?:'([^']*)'|(True|False)|\(((?:\d+,|\d+(?:, *\d+)+,?)?)\)) *(, *|$)/;
const KIND_OF: Record<string, number> = { descr: 2, fortran_order: 3, shape: 4 };

/** The values of a header that is a dictionary of nothing but the three entries, each once; else null. */
function headerEntries(text: string): Record<string, string> | null {
  let rest = /^\{ *(.*?) *\}[ \n]*$/s.exec(text)?.[1];
  if (rest === undefined) return null;
  const values: Record<string, string> = {};
  while (rest !== '') {
    const entry = ENTRY.exec(rest);
    const value = entry?.[KIND_OF[entry[1]!]!];
    if (!entry || value === undefined || Object.hasOwn(values, entry[1]!)) return null;
    values[entry[1]!] = value;
    rest = rest.slice(entry[0].length);
  }
  return values;
}

function parseHeader(op: string, path: string, text: string): Header {
  const entries = headerEntries(text);
  const { descr, fortran_order: fortran, shape: sizes } = entries ?? {};
  if (descr === undefined || fortran === undefined || sizes === undefined) {
    throw corruptFile(
      op,
      path,
      `header must name descr, fortran_order and shape once each, got ${show(text.trim())}`,
    );
  }
  const shape = (sizes.match(/\d+/g) ?? []).map(Number);
  if (shape.length > MAX_DIMS || !Number.isSafeInteger(sizeOf(shape))) {
    throw corruptFile(
      op,
      path,
      `shape must have at most ${MAX_DIMS} possible sizes, got (${sizes})`,
    );
  }
  const type = Object.hasOwn(TYPE_OF, descr.slice(1)) ? TYPE_OF[descr.slice(1)] : undefined;
  if (!type || !'<>|='.includes(descr[0]!)) {
    throw unsupportedFile(
      op,
      path,
      `dtype '${descr}' is not read; save the array as a number type of at most 64 bits (array.astype)`,
    );
  }
  return {
    type,
    swapped: descr.startsWith('>'),
    fortran: fortran === 'True' && shape.length > 1,
    shape,
  };
}

/** The parts of an npy file. */
async function npyParts(tensor: Tensor): Promise<Uint8Array[]> {
  const { dtype, shape } = tensor;
  const values = await tensor.data();
  const sizes = shape.length === 1 ? `${shape[0]},` : shape.join(', ');
  const text = `{'descr': '${DESCR_OF[dtype]}', 'fortran_order': False, 'shape': (${sizes}), }`;
  // Elements begin at a multiple of 64 bytes; the header ends with a line feed.
  const padding = 63 - ((10 + text.length) % 64);
  const header = Buffer.from(`${text}${' '.repeat(padding)}\n`, 'latin1');
  const start = Buffer.from([...MAGIC, 1, 0, header.length & 0xff, header.length >> 8]);
  return [start, header, bytesOf(values)];
}

/** Writes a tensor as numpy.load reads it, replacing the file as a whole. */
export async function saveNpy(tensor: Tensor, path: string): Promise<void> {
  requireArgument(isTensor(tensor), 'saveNpy', () => `value must be a tensor, got ${show(tensor)}`);
  await replaceFile(path, await npyParts(tensor));
}

/**
 * Writes tensors by name as numpy.load reads them (numpy.savez, not compressed), replacing the file as a whole. At
 * most 4 GiB in all.
 */
export async function saveNpz(
  tensors: Readonly<Record<string, Tensor>>,
  path: string,
): Promise<void> {
  for (const [name, tensor] of Object.entries(tensors)) {
    requireArgument(
      isTensor(tensor) && name !== '',
      'saveNpz',
      () => `${show(name)} must be a tensor with a name, got ${show(tensor)}`,
    );
  }
  const reads = Object.entries(tensors).map(async ([name, tensor]) => ({
    name: `${name}.npy`,
    content: await npyParts(tensor),
  }));
  const entries = await Promise.all(reads);
  const bytes = entries.flatMap(({ content }) => content).reduce((n, part) => n + part.length, 0);
  requireArgument(
    bytes + 256 * entries.length < 2 ** 32 && entries.length < 2 ** 16,
    'saveNpz',
    () => `tensors must have less than 4 GiB in all, got ${bytes} bytes`,
  );
  await replaceFile(path, zipParts(entries));
}
