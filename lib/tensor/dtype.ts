import { native } from '../native';
import { FluxionError, show } from '../errors';

/** Element types. Floating types carry gradients; int32 and uint8 are for indices, labels and masks. */
export type DType = 'float32' | 'float64' | 'int32' | 'uint8';

export type TypedArray = Float32Array | Float64Array | Int32Array | Uint8Array;

/** In the order of the addon's list. */
export const DTYPES = native.dtypes as readonly DType[];

const ARRAY_OF = {
  float32: Float32Array,
  float64: Float64Array,
  int32: Int32Array,
  uint8: Uint8Array,
} as const;

export function newTypedArray(dtype: DType, length: number): TypedArray {
  return new ARRAY_OF[dtype](length);
}

/** Converts numbers to the element type of a dtype, with JavaScript's own conversion. */
export function toTypedArray(dtype: DType, values: ArrayLike<number>): TypedArray {
  return ARRAY_OF[dtype].from(values);
}

/** The dtype whose elements a typed array holds. Works for arrays of another realm. */
export function dtypeOfArray(array: ArrayBufferView): DType | undefined {
  switch (Object.prototype.toString.call(array)) {
    case '[object Float32Array]':
      return 'float32';
    case '[object Float64Array]':
      return 'float64';
    case '[object Int32Array]':
      return 'int32';
    case '[object Uint8Array]':
    case '[object Uint8ClampedArray]':
      return 'uint8';
    default:
      return undefined;
  }
}

export function isFloating(dtype: DType): boolean {
  return dtype === 'float32' || dtype === 'float64';
}

export function requireDType(op: string, dtype: unknown): asserts dtype is DType {
  if (!DTYPES.includes(dtype as DType)) {
    throw new FluxionError(
      'FLUXION_INVALID_ARGUMENT',
      op,
      `dtype must be one of ${DTYPES.join(', ')}, got ${show(dtype)}`,
    );
  }
}

/** The dtype of a result of two: the wider float, else the wider integer. */
export function promote(a: DType, b: DType): DType {
  if (a === b) return a;
  if (a === 'float64' || b === 'float64') return 'float64';
  if (a === 'float32' || b === 'float32') return 'float32';
  return 'int32';
}
