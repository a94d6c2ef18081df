import { open } from 'node:fs/promises';
import { setImmediate } from 'node:timers/promises';
import type * as H5 from 'h5wasm/node' with { 'resolution-mode': 'import' };
import { FluxionError, requireArgument, show } from '../errors';
import { type DType, type TypedArray, bytesPerElement, newTypedArray } from '../tensor/dtype';
import { upload } from '../tensor/handle';
import { sizeOf } from '../tensor/shape';
import { Tensor } from '../tensor/tensor';
import { withDefaults } from '../ops/define';
import { corruptFile, unsupportedFile } from './corrupt-file';
import { bytesOf } from './file-bytes';
import { optionalPackage } from './optional-package';
import { type FileType, type WideIntegerOptions, isNarrow, widen, widenedDType } from './widen';

/** Indices along a dimension: all of them (null), or from `begin` to before `end` in steps. */
export type Hdf5Range = null | readonly [begin: number, end: number, step?: number];

export interface LoadHdf5Options extends WideIntegerOptions {
  /** Paths of the datasets to read. Default: all that hold numbers. */
  datasets?: readonly string[];
  /** What to read of each dataset, by dimension; dimensions that are not named are read as a whole. */
  slice?: readonly Hdf5Range[];
}

type AttributeValue = string | number | boolean | readonly AttributeValue[];

/** A dataset as the file describes it. */
export interface Hdf5Dataset {
  shape: number[];
  /** Name of the element type: 'float32', 'int64', ...; 'other' for what is not read (strings, compounds). */
  type: FileType | 'other';
  attributes: Record<string, AttributeValue>;
}

export interface Hdf5Content {
  /** By path from the root, without the leading slash. */
  datasets: Record<string, Hdf5Dataset>;
  /** Attributes of the root and of the groups, by path; the root is ''. */
  groups: Record<string, Record<string, AttributeValue>>;
}

/** Bytes that are read between two turns of the event loop. */
const PIECE = 1 << 23;

async function withFile<T>(
  op: string,
  path: string,
  use: (file: H5.File, h5: typeof H5) => Promise<T>,
): Promise<T> {
  const h5 = await optionalPackage(op, 'HDF5 files need', 'h5wasm', () => import('h5wasm/node'));
  await h5.ready;
  await requireHdf5(op, path);
  let file: H5.File;
  try {
    file = new h5.File(path, 'r');
    if (file.file_id === undefined || file.file_id < 0n) throw new Error('it cannot be opened');
  } catch (error) {
    throw corruptFile(op, path, `must be an HDF5 file: ${(error as Error).message}`, error);
  }
  try {
    return await use(file, h5);
  } catch (error) {
    if (error instanceof FluxionError) throw error;
    throw corruptFile(op, path, `must be a sound HDF5 file: ${(error as Error).message}`, error);
  } finally {
    closeQuietly(file);
  }
}

/** What is wrong with the file has been said. */
function closeQuietly(file: H5.File): void {
  try {
    file.close();
  } catch {
    // A damaged file may not even be closed.
  }
}

/** The element type of a dataset, from HDF5's class, size and sign. */
function typeOf({ metadata }: H5.Dataset): FileType | 'other' {
  const { type, size, signed } = metadata;
  // The numbers of H5T_class_t: 0 integer, 1 float, 8 enumeration (h5py's bool has members FALSE and TRUE).
  if (type === 0) {
    const name = `${signed ? '' : 'u'}int${8 * size}`;
    return name === 'uint8' || name === 'int32' ? name : (name as FileType);
  }
  if (type === 1) return size === 4 ? 'float32' : size === 8 ? 'float64' : 'other';
  if (type === 8 && size === 1) return 'bool';
  return 'other';
}

function attributesOf(attributes: Record<string, H5.Attribute>): Record<string, AttributeValue> {
  const entries = Object.entries(attributes).map(([name, attribute]) => {
    const value = attribute.json_value as unknown;
    const plain = (v: unknown): AttributeValue =>
      typeof v === 'bigint' ? Number(v) : Array.isArray(v) ? v.map(plain) : (v as AttributeValue);
    return [name, plain(value)] as const;
  });
  return Object.fromEntries(entries);
}

/** What is in an HDF5 file: datasets with shapes and types, attributes. Nothing of the data is read. */
export async function describeHdf5(path: string): Promise<Hdf5Content> {
  return withFile('describeHdf5', path, (file, h5) => {
    const datasets: [string, Hdf5Dataset][] = [];
    const groups: [string, Hdf5Content['groups'][string]][] = [['', attributesOf(file.attrs)]];
    for (const name of file.paths().sort()) {
      const entity = file.get(name);
      if (entity instanceof h5.Dataset) {
        const shape = [...(entity.shape ?? [])];
        const attributes = attributesOf(entity.attrs);
        datasets.push([name, { shape, type: typeOf(entity), attributes }]);
      } else if (entity instanceof h5.Group) {
        groups.push([name, attributesOf(entity.attrs)]);
      }
    }
    // fromEntries makes a name such as __proto__ a name like others.
    return Promise.resolve({
      datasets: Object.fromEntries(datasets),
      groups: Object.fromEntries(groups),
    });
  });
}

/**
 * Reads datasets of an HDF5 file as tensors by their path ('group/name'), whole or in slices: only what is asked for
 * is read, in pieces that leave the event loop its turn. Types that tensors do not have are widened as by
 * {@link loadNpy}; HDF5 itself converts the byte order.
 *
 * Needs the optional package h5wasm: FLUXION_UNSUPPORTED without it, and for datasets of strings, compounds and
 * float16 that are named. Errors also: FLUXION_INVALID_ARGUMENT for a path or a range that is not there;
 * FLUXION_CORRUPT_FILE.
 *
 * @example const { density } = await data.loadHdf5('sim.h5', { datasets: ['density'], slice: [[0, 100]] });
 */
export async function loadHdf5(
  path: string,
  options?: LoadHdf5Options,
): Promise<Record<string, Tensor>> {
  const given = withDefaults<Required<LoadHdf5Options>>('loadHdf5', options, {
    datasets: [],
    slice: [],
    wideIntegers: 'int32',
  });
  requireArgument(
    ['int32', 'float64'].includes(given.wideIntegers),
    'loadHdf5',
    () => `wideIntegers must be 'int32' or 'float64', got ${show(given.wideIntegers)}`,
  );
  return withFile('loadHdf5', path, async (file, h5) => {
    const found = file.paths().filter((name) => file.get(name) instanceof h5.Dataset);
    const names = options?.datasets
      ? given.datasets.map((name) => name.replace(/^\//, ''))
      : found.filter((name) => typeOf(file.get(name) as H5.Dataset) !== 'other');
    const tensors: [string, Tensor][] = [];
    try {
      for (const name of names) {
        requireArgument(
          found.includes(name),
          'loadHdf5',
          () => `datasets must be among ${show(found)}, got ${show(name)}`,
        );
        const dataset = file.get(name) as H5.Dataset;
        tensors.push([name, await readDataset(path, name, dataset, given)]);
      }
      return Object.fromEntries(tensors);
    } catch (error) {
      for (const [, tensor] of tensors) tensor.dispose();
      throw error;
    }
  });
}

function rangesOf(
  name: string,
  shape: readonly number[],
  slice: readonly Hdf5Range[],
): [number, number, number][] {
  requireArgument(
    slice.length <= shape.length,
    'loadHdf5',
    () =>
      `slice must have at most the ${shape.length} dimensions of ${show(name)}, got ${slice.length}`,
  );
  return shape.map((size, axis) => {
    const [begin, end, step = 1] = slice[axis] ?? [0, size];
    requireArgument(
      [begin, end, step].every(Number.isInteger) &&
        begin >= 0 &&
        end >= begin &&
        end <= size &&
        step > 0,
      'loadHdf5',
      () =>
        `slice[${axis}] must be null or [begin, end, step] inside of [0, ${size}] of ${show(name)}, ` +
        `got ${show(slice[axis])}`,
    );
    return [begin, end, step];
  });
}

async function readDataset(
  path: string,
  name: string,
  dataset: H5.Dataset,
  { slice, wideIntegers }: Required<LoadHdf5Options>,
): Promise<Tensor> {
  const type = typeOf(dataset);
  if (type === 'other') {
    throw unsupportedFile('loadHdf5', path, `${show(name)}: elements of this type are not read`);
  }
  const ranges = rangesOf(name, dataset.shape ?? [], slice);
  const shape = ranges.map(([begin, end, step]) => Math.ceil((end - begin) / step));
  const dtype = widenedDType(type, { wideIntegers });
  const values = newTypedArray(dtype, sizeOf(shape));
  let at = 0;
  for (const piece of piecesOf(ranges, shape, dtype)) {
    const read = rawOf(path, name, type, piece.length > 0 ? dataset.slice(piece) : dataset.value);
    const wide = isNarrow(type)
      ? await widen('loadHdf5', `${path}: ${name}`, type, bytesOf(read), { wideIntegers })
      : (read as TypedArray);
    values.set(wide, at);
    at += wide.length;
    await setImmediate();
  }
  if (at !== values.length) {
    throw corruptFile(
      'loadHdf5',
      path,
      `${show(name)} must have ${values.length} elements, got ${at}`,
    );
  }
  return new Tensor(upload(values, dtype, shape));
}

/** The ranges in parts along the first dimension, of PIECE bytes each. */
function* piecesOf(
  ranges: readonly [number, number, number][],
  shape: readonly number[],
  dtype: DType,
): Generator<[number, number, number][]> {
  if (shape.includes(0)) return;
  const [first, ...rest] = ranges;
  if (!first) {
    yield [];
    return;
  }
  const [begin, end, step] = first;
  const rows = Math.max(1, Math.floor(PIECE / (sizeOf(shape.slice(1)) * bytesPerElement(dtype))));
  for (let from = begin; from < end; from += rows * step)
    yield [[from, Math.min(end, from + rows * step), step], ...rest];
}

const ARRAY_OF: Partial<Record<FileType, new (size: number) => ArrayBufferView & object>> = {
  ...{ bool: Int8Array, int8: Int8Array, int16: Int16Array, uint16: Uint16Array },
  ...{ uint32: Uint32Array, int64: BigInt64Array, uint64: BigUint64Array, uint8: Uint8Array },
  ...{ int32: Int32Array, float32: Float32Array, float64: Float64Array },
};

/** What h5wasm gives, as a typed array: a dataset without dimensions is one number. */
function rawOf(path: string, name: string, type: FileType, value: unknown): ArrayBufferView {
  if (ArrayBuffer.isView(value)) return value;
  if (typeof value === 'number' || typeof value === 'bigint' || typeof value === 'boolean') {
    const one = new ARRAY_OF[type]!(1) as unknown as (number | bigint)[] & ArrayBufferView;
    one[0] = typeof value === 'boolean' ? Number(value) : value;
    return one;
  }
  throw corruptFile('loadHdf5', path, `${show(name)} must hold numbers, got ${show(value)}`);
}

const SIGNATURE = Buffer.from('\x89HDF\r\n\x1a\n', 'latin1');

/** Looks for the signature where the format has it: at 0, 512, 1024, 2048, ... */
async function requireHdf5(op: string, path: string): Promise<void> {
  const handle = await open(path);
  try {
    const { size } = await handle.stat();
    const bytes = Buffer.alloc(SIGNATURE.length);
    for (let at = 0; at < size; at = at === 0 ? 512 : 2 * at) {
      await handle.read(bytes, 0, bytes.length, at);
      if (bytes.equals(SIGNATURE)) return;
    }
  } finally {
    await handle.close();
  }
  throw corruptFile(op, path, 'must be an HDF5 file, its signature is not there');
}
