import { setImmediate } from 'node:timers/promises';
import { type DType, type TypedArray, newTypedArray } from '../tensor/dtype';
import { unsupportedFile } from './corrupt-file';

/**
 * Element types of files that tensors do not have, and what they become:
 *
 *     bool -> uint8    int8, int16, uint16 -> int32    float16, bfloat16 -> float32    (exactly)
 *     uint32, int64, uint64 -> int32, where every value fits; an error otherwise; or float64 on request
 */
export type NarrowType =
  'bool' | 'int8' | 'int16' | 'uint16' | 'uint32' | 'int64' | 'uint64' | 'float16' | 'bfloat16';

export type FileType = DType | NarrowType;

/** What integers wider than int32 become. */
export interface WideIntegerOptions {
  /**
   * 'int32' (default): the values must fit, otherwise FLUXION_UNSUPPORTED. 'float64': rounded beyond 2^53, as
   * astype(float64) does.
   */
  wideIntegers?: 'int32' | 'float64';
}

const BYTES: Record<NarrowType, number> = {
  ...{ bool: 1, int8: 1, int16: 2, uint16: 2, float16: 2, bfloat16: 2 },
  ...{ uint32: 4, int64: 8, uint64: 8 },
};

type Read = (view: DataView, at: number) => number;

const READ: Record<NarrowType, Read> = {
  bool: (view, at) => view.getUint8(at),
  int8: (view, at) => view.getInt8(at),
  int16: (view, at) => view.getInt16(at, true),
  uint16: (view, at) => view.getUint16(at, true),
  uint32: (view, at) => view.getUint32(at, true),
  int64: (view, at) => Number(view.getBigInt64(at, true)),
  uint64: (view, at) => Number(view.getBigUint64(at, true)),
  float16: (view, at) => fromFloat16(view.getUint16(at, true)),
  bfloat16: (view, at) => fromBfloat16(view.getUint16(at, true)),
};

const bits = new Uint32Array(1);
const value = new Float32Array(bits.buffer);

/** The upper half of a float32. */
function fromBfloat16(half: number): number {
  bits[0] = half << 16;
  return value[0]!;
}

/** IEEE 754 binary16: 1 sign, 5 exponent (bias 15), 10 fraction bits. */
function fromFloat16(half: number): number {
  const sign = half & 0x8000 ? -1 : 1;
  const exponent = (half >> 10) & 0x1f;
  const fraction = half & 0x3ff;
  if (exponent === 0) return sign * fraction * 2 ** -24;
  if (exponent === 0x1f) return fraction ? NaN : sign * Infinity;
  return sign * (1 + fraction / 1024) * 2 ** (exponent - 15);
}

const isWide = (type: NarrowType) => BYTES[type] >= 4;

export function isNarrow(type: FileType): type is NarrowType {
  return Object.hasOwn(BYTES, type);
}

/** Bytes of an element in a file. */
export function fileBytesOf(type: FileType, bytesPerElement: (dtype: DType) => number): number {
  return isNarrow(type) ? BYTES[type] : bytesPerElement(type);
}

/** The dtype that elements of a type become. */
export function widenedDType(type: FileType, { wideIntegers }: WideIntegerOptions = {}): DType {
  if (!isNarrow(type)) return type;
  if (type === 'bool') return 'uint8';
  if (type === 'float16' || type === 'bfloat16') return 'float32';
  return isWide(type) && wideIntegers === 'float64' ? 'float64' : 'int32';
}

/** Elements between two turns of the event loop: about 5 ms. */
const PIECE = 1 << 19;

/** Widens little-endian elements of a type that tensors do not have. */
export async function widen(
  op: string,
  path: string,
  type: NarrowType,
  bytes: Uint8Array,
  options: WideIntegerOptions = {},
): Promise<TypedArray> {
  const dtype = widenedDType(type, options);
  const width = BYTES[type];
  const size = bytes.length / width;
  const values = newTypedArray(dtype, size);
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const read = READ[type];
  const mustFit = isWide(type) && dtype === 'int32';
  for (let from = 0; from < size; from += PIECE) {
    const to = Math.min(from + PIECE, size);
    for (let i = from; i < to; i++) {
      const x = read(view, i * width);
      values[i] = x;
      if (mustFit && values[i] !== x) {
        throw unsupportedFile(
          op,
          path,
          `${type} values must fit int32, value ${i} is ${x}; wideIntegers: 'float64' reads them as float64`,
        );
      }
    }
    if (to < size) await setImmediate();
  }
  return values;
}
