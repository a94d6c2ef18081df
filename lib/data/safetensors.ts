import { type FileHandle, open } from 'node:fs/promises';
import { FluxionError, requireArgument, show } from '../errors';
import type { DType } from '../tensor/dtype';
import { bytesPerElement, newTypedArray } from '../tensor/dtype';
import { upload } from '../tensor/handle';
import { sizeOf } from '../tensor/shape';
import { Tensor, isTensor } from '../tensor/tensor';
import { withDefaults } from '../ops/define';
import { corruptFile, unsupportedFile } from './corrupt-file';
import { bytesOf, readFully, replaceFile } from './file-bytes';
import {
  type FileType,
  type WideIntegerOptions,
  fileBytesOf,
  isNarrow,
  widen,
  widenedDType,
} from './widen';

const OP = 'loadSafetensors';
/** The limit of the format's own implementation. */
const MAX_HEADER = 100_000_000;

const TYPE_OF: Record<string, FileType> = {
  F32: 'float32',
  F64: 'float64',
  I32: 'int32',
  U8: 'uint8',
  C64: 'complex64',
  BOOL: 'bool',
  I8: 'int8',
  I16: 'int16',
  U16: 'uint16',
  U32: 'uint32',
  I64: 'int64',
  U64: 'uint64',
  F16: 'float16',
  BF16: 'bfloat16',
};
/** The format has no name for complex128. */
const NAME_OF: Partial<Record<DType, string>> = {
  float32: 'F32',
  float64: 'F64',
  int32: 'I32',
  uint8: 'U8',
  complex64: 'C64',
};
/** Known to the format, and not read. */
const OTHER_DTYPES = ['F8_E4M3', 'F8_E5M2', 'F8_E8M0', 'F4'];

/** The content of a safetensors file. */
export interface Safetensors {
  tensors: Record<string, Tensor>;
  metadata: Record<string, string>;
}

interface Entry {
  name: string;
  type: FileType;
  shape: number[];
  begin: number;
  end: number;
}

/**
 * Reads a safetensors file: the length of the header (64 bits, little-endian), the header (JSON: dtype,
 * shape and place of each tensor), the elements.
 *
 * Types that tensors do not have are widened: BOOL to uint8; I8, I16, U16 to int32; F16, BF16 to float32; U32, I64
 * and U64 (such as the counters of PyTorch's batch normalization) to int32, where every value fits, or to float64
 * (`wideIntegers`).
 *
 * Everything that the header says is checked against the length of the file before memory is taken:
 * FLUXION_CORRUPT_FILE otherwise, and for overlaps and holes. FLUXION_UNSUPPORTED for the types of less than
 * 16 bits that are floating-point, and for integers beyond int32.
 */
export async function loadSafetensors(
  path: string,
  options?: WideIntegerOptions,
): Promise<Safetensors> {
  const given = withDefaults<Required<WideIntegerOptions>>(OP, options, { wideIntegers: 'int32' });
  requireArgument(
    ['int32', 'float64'].includes(given.wideIntegers),
    OP,
    () => `wideIntegers must be 'int32' or 'float64', got ${show(given.wideIntegers)}`,
  );
  const handle = await open(path);
  const made: Tensor[] = [];
  try {
    const { entries, metadata, start } = await readHeader(path, handle);
    const tensors: [string, Tensor][] = [];
    for (const { name, type, shape, begin, end } of entries) {
      const values = isNarrow(type)
        ? new Uint8Array(end - begin)
        : newTypedArray(type, sizeOf(shape));
      await readFully(OP, path, handle, bytesOf(values), start + begin);
      const wide = isNarrow(type)
        ? await widen(OP, `${path}: ${name}`, type, bytesOf(values), given)
        : values;
      const tensor = new Tensor(upload(wide, widenedDType(type, given), shape));
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
  let text: string;
  try {
    text = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes);
    header = JSON.parse(text);
  } catch (error) {
    throw corruptFile(OP, path, `header must be JSON: ${(error as Error).message}`, error);
  }
  if (!isPlainObject(header) || !text.startsWith('{'))
    throw corruptFile(OP, path, 'header must be a JSON object');
  const twice = repeatedKey(text);
  if (twice !== null)
    throw corruptFile(OP, path, `header must have each key once, got ${show(twice)} again`);
  const metadata = parseMetadata(path, header.__metadata__);
  const entries = Object.entries(header)
    .filter(([name]) => name !== '__metadata__')
    .map(([name, entry]) => parseEntry(path, name, entry));
  requireNoGaps(path, entries, available);
  return { entries, metadata };
}

/** A key that stands twice in one object of valid JSON text, which JSON.parse does not tell; null when there is none. */
function repeatedKey(text: string): string | null {
  const objects: Set<string>[] = [];
  let word = '';
  for (const [token] of text.matchAll(/"(?:[^"\\]|\\.)*"|[{}:]/g)) {
    if (token === '{') objects.push(new Set());
    else if (token === '}') objects.pop();
    else if (token !== ':') word = token;
    else {
      const key = JSON.parse(word) as string;
      if (objects.at(-1)!.has(key)) return key;
      objects.at(-1)!.add(key);
    }
  }
  return null;
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
  return Array.isArray(value) && value.every((n) => Number.isSafeInteger(n) && (n as number) >= 0 && !Object.is(n, -0));
}

function parseEntry(path: string, name: string, entry: unknown): Entry {
  const corrupt = (detail: string) => corruptFile(OP, path, `tensor ${show(name)}: ${detail}`);
  if (!isPlainObject(entry)) throw corrupt('must be an object');
  const { dtype: code, shape, data_offsets: offsets } = entry;
  const type = Object.hasOwn(TYPE_OF, String(code)) ? TYPE_OF[String(code)] : undefined;
  if (!type && OTHER_DTYPES.includes(String(code))) {
    throw unsupportedFile(OP, path, `tensor ${show(name)}: dtype ${String(code)} is not read`);
  }
  if (!type) throw corrupt(`dtype must be one of the format's, got ${show(code)}`);
  if (!isIndexList(shape) || shape.length > 8 || !Number.isSafeInteger(8 * sizeOf(shape))) {
    throw corrupt(`shape must be a list of at most 8 possible sizes, got ${show(shape)}`);
  }
  if (!isIndexList(offsets) || offsets.length !== 2) {
    throw corrupt(`data_offsets must be two integers >= 0, got ${show(offsets)}`);
  }
  const [begin, end] = offsets as [number, number];
  const bytes = sizeOf(shape) * fileBytesOf(type, bytesPerElement);
  if (end - begin !== bytes) {
    throw corrupt(
      `data_offsets must span ${bytes} bytes for shape [${shape.join(', ')}], got ${end - begin}`,
    );
  }
  return { name, type, shape, begin, end };
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
