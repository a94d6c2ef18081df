import { type FileHandle, open } from 'node:fs/promises';
import { FluxionError, requireArgument, show } from '../errors';
import type { DType } from '../tensor/dtype';
import { bytesPerElement } from '../tensor/dtype';
import { upload } from '../tensor/handle';
import { sizeOf } from '../tensor/shape';
import { Tensor, isTensor } from '../tensor/tensor';
import { corruptFile, unsupportedFile } from './corrupt-file';
import { bytesOf, readElements, readFully, replaceFile } from './file-bytes';

const OP = 'loadSafetensors';
/** The limit of the format's own implementation. */
const MAX_HEADER = 100_000_000;

const DTYPE_OF: Record<string, DType> = {
  F32: 'float32',
  F64: 'float64',
  I32: 'int32',
  U8: 'uint8',
  C64: 'complex64',
  // Counters and masks of PyTorch's modules, in the integers that Fluxion has.
  I64: 'int32',
  BOOL: 'uint8',
};
/** The format has no name for complex128. */
const NAME_OF: Partial<Record<DType, string>> = {
  float32: 'F32',
  float64: 'F64',
  int32: 'I32',
  uint8: 'U8',
  complex64: 'C64',
};
const OTHER_DTYPES = [
  'I8',
  'I16',
  'U16',
  'F16',
  'BF16',
  'U32',
  'U64',
  'F8_E4M3',
  'F8_E5M2',
];

/** The content of a safetensors file. */
export interface Safetensors {
  tensors: Record<string, Tensor>;
  metadata: Record<string, string>;
}

interface Entry {
  name: string;
  dtype: DType;
  /** Whether the file has integers of 64 bits. */
  wide: boolean;
  shape: number[];
  begin: number;
  end: number;
}

/**
 * Reads a safetensors file: the length of the header (64 bits, little-endian), the header (JSON: dtype,
 * shape and place of each tensor), the elements.
 *
 * Everything that the header says is checked against the length of the file before memory is taken:
 * FLUXION_CORRUPT_FILE otherwise, and for overlaps and holes. FLUXION_UNSUPPORTED for dtypes other than
 * F32, F64, I32, U8, C64, BOOL (read as uint8) and I64 (read as int32), and for an integer that int32 does
 * not hold.
 */
export async function loadSafetensors(path: string): Promise<Safetensors> {
  const handle = await open(path);
  const made: Tensor[] = [];
  try {
    const { entries, metadata, start } = await readHeader(path, handle);
    const tensors: [string, Tensor][] = [];
    for (const entry of entries) {
      const { name, dtype, shape, begin } = entry;
      const place = { dtype, size: sizeOf(shape), position: start + begin };
      const values = entry.wide
        ? await readWideIntegers(path, handle, name, place)
        : await readElements(OP, path, handle, place);
      const tensor = new Tensor(upload(values, dtype, shape));
      made.push(tensor);
      tensors.push([name, tensor]);
    }
    return { tensors: Object.fromEntries(tensors), metadata };
  } catch (error) {
    for (const tensor of made) tensor.dispose();
    throw error;
  } finally {
    await handle.close();
  }
}

/** Integers of 64 bits as int32. */
async function readWideIntegers(
  path: string,
  handle: FileHandle,
  name: string,
  { size, position }: { size: number; position: number },
): Promise<Int32Array> {
  const wide = new BigInt64Array(size);
  await readFully(OP, path, handle, bytesOf(wide), position);
  return Int32Array.from(wide, (value) => {
    const narrow = Number(value);
    if (narrow === (narrow | 0)) return narrow;
    throw unsupportedFile(OP, path, `tensor ${show(name)}: int32 does not hold ${value}`);
  });
}

async function readHeader(
  path: string,
  handle: FileHandle,
): Promise<{ entries: Entry[]; metadata: Record<string, string>; start: number }> {
  const { size } = await handle.stat();
  if (size < 8) throw corruptFile(OP, path, `must have at least 8 bytes, got ${size}`);
  const prefix = Buffer.alloc(8);
  await readFully(OP, path, handle, prefix, 0);
  const length = prefix.readBigUInt64LE();
  if (length > BigInt(Math.min(size - 8, MAX_HEADER))) {
    throw corruptFile(
      OP,
      path,
      `header length must be at most ${Math.min(size - 8, MAX_HEADER)}, got ${length}`,
    );
  }
  const bytes = Buffer.alloc(Number(length));
  await readFully(OP, path, handle, bytes, 8);
  const start = 8 + bytes.length;
  return { ...parseHeader(path, bytes, size - start), start };
}

function parseHeader(
  path: string,
  bytes: Uint8Array,
  available: number,
): { entries: Entry[]; metadata: Record<string, string> } {
  let header: unknown;
  try {
    header = JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(bytes));
  } catch (error) {
    throw corruptFile(OP, path, `header must be JSON: ${(error as Error).message}`, error);
  }
  if (!isPlainObject(header)) throw corruptFile(OP, path, 'header must be a JSON object');
  const metadata = parseMetadata(path, header.__metadata__);
  const entries = Object.entries(header)
    .filter(([name]) => name !== '__metadata__')
    .map(([name, entry]) => parseEntry(path, name, entry));
  requireNoGaps(path, entries, available);
  return { entries, metadata };
}

function isPlainObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function parseMetadata(path: string, value: unknown): Record<string, string> {
  if (value === undefined) return {};
  if (!isPlainObject(value) || !Object.values(value).every((text) => typeof text === 'string')) {
    throw corruptFile(OP, path, '__metadata__ must be an object of strings');
  }
  return value as Record<string, string>;
}

function isIndexList(value: unknown): value is number[] {
  return Array.isArray(value) && value.every((n) => Number.isSafeInteger(n) && (n as number) >= 0);
}

function parseEntry(path: string, name: string, entry: unknown): Entry {
  const corrupt = (detail: string) => corruptFile(OP, path, `tensor ${show(name)}: ${detail}`);
  if (!isPlainObject(entry)) throw corrupt('must be an object');
  const { dtype: code, shape, data_offsets: offsets } = entry;
  const dtype = Object.hasOwn(DTYPE_OF, String(code)) ? DTYPE_OF[String(code)] : undefined;
  if (!dtype && OTHER_DTYPES.includes(String(code))) {
    throw unsupportedFile(OP, path, `tensor ${show(name)}: dtype ${String(code)} is not read`);
  }
  if (!dtype) throw corrupt(`dtype must be one of the format's, got ${show(code)}`);
  if (!isIndexList(shape) || shape.length > 8 || !Number.isSafeInteger(8 * sizeOf(shape))) {
    throw corrupt(`shape must be a list of at most 8 possible sizes, got ${show(shape)}`);
  }
  if (!isIndexList(offsets) || offsets.length !== 2) {
    throw corrupt(`data_offsets must be two integers >= 0, got ${show(offsets)}`);
  }
  const [begin, end] = offsets as [number, number];
  const wide = code === 'I64';
  const bytes = sizeOf(shape) * (wide ? 8 : bytesPerElement(dtype));
  if (end - begin !== bytes) {
    throw corrupt(
      `data_offsets must span ${bytes} bytes for shape [${shape.join(', ')}], got ${end - begin}`,
    );
  }
  return { name, dtype, wide, shape, begin, end };
}

function requireNoGaps(path: string, entries: readonly Entry[], available: number): void {
  let at = 0;
  for (const { name, begin, end } of [...entries].sort(
    (a, b) => a.begin - b.begin || a.end - b.end,
  )) {
    if (begin !== at) {
      throw corruptFile(OP, path, `tensor ${show(name)} must begin at byte ${at}, got ${begin}`);
    }
    at = end;
  }
  if (at !== available) {
    throw corruptFile(OP, path, `must have ${at} bytes of elements, got ${available}`);
  }
}

/**
 * What goes into a safetensors file, in pieces: header first, then the tensors as they are read. The reads
 * are enqueued by the call: what happens to the tensors afterwards does not matter.
 */
export function safetensorsParts(
  tensors: Readonly<Record<string, Tensor>>,
  metadata: Readonly<Record<string, string>> = {},
): AsyncIterable<Uint8Array> {
  // The widest elements first, so that each tensor is aligned; then by name, so that files are reproducible.
  const width = (tensor: Tensor) => bytesPerElement(tensor.dtype);
  const entries = Object.entries(tensors).sort(
    ([nameA, a], [nameB, b]) => width(b) - width(a) || (nameA < nameB ? -1 : 1),
  );
  for (const [name, { dtype }] of entries) {
    if (NAME_OF[dtype] !== undefined) continue;
    throw new FluxionError(
      'FLUXION_UNSUPPORTED',
      'saveSafetensors',
      `tensor ${show(name)}: the format has no ${dtype}; save it as complex64 or through viewAsReal()`,
    );
  }
  const values = entries.map(([, tensor]) => tensor.data());
  for (const value of values) value.catch(() => undefined);
  let at = 0;
  const described = entries.map(([name, tensor]) => {
    const begin = at;
    at += tensor.size * width(tensor);
    return [
      name,
      { dtype: NAME_OF[tensor.dtype], shape: [...tensor.shape], data_offsets: [begin, at] },
    ];
  });
  const text = JSON.stringify({
    ...(Object.keys(metadata).length > 0 ? { __metadata__: metadata } : {}),
    ...(Object.fromEntries(described) as object),
  });
  const header = Buffer.from(text);
  const padded = Buffer.alloc(Math.ceil(header.length / 8) * 8, ' ');
  header.copy(padded);
  const prefix = Buffer.alloc(8);
  prefix.writeBigUInt64LE(BigInt(padded.length));
  return (async function* () {
    yield prefix;
    yield padded;
    for (const value of values) yield bytesOf(await value);
  })();
}

/**
 * Writes tensors as a safetensors file, replacing it as a whole: a crash leaves the old file or the new.
 * `metadata` goes into the header.
 */
export async function saveSafetensors(
  tensors: Readonly<Record<string, Tensor>>,
  path: string,
  options: { metadata?: Readonly<Record<string, string>> } = {},
): Promise<void> {
  for (const [name, tensor] of Object.entries(tensors)) {
    requireArgument(
      isTensor(tensor) && name !== '__metadata__',
      'saveSafetensors',
      () => `${show(name)} must be a tensor, got ${show(tensor)}`,
    );
  }
  for (const [name, text] of Object.entries(options.metadata ?? {})) {
    if (typeof text === 'string') continue;
    throw new FluxionError(
      'FLUXION_INVALID_ARGUMENT',
      'saveSafetensors',
      `metadata ${show(name)} must be a string, got ${show(text)}`,
    );
  }
  await replaceFile(path, safetensorsParts(tensors, options.metadata));
}
