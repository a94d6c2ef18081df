import { native } from '../native';
import { FluxionError, show } from '../errors';

/**
 * Element types. Floating and complex types carry gradients; int32 and uint8 are for indices, labels and
 * masks. An element of complex64 is a pair of float32, real and imaginary part; of complex128 of float64.
 */
export type DType = 'float32' | 'float64' | 'int32' | 'uint8' | 'complex64' | 'complex128';

/** Arrays of values. Those of complex tensors hold pairs: re, im, re, im, ... */

export type TypedArray = Float32Array | Float64Array | Int32Array | Uint8Array;

/** In the order of the addon's list. */
export const DTYPES = native.dtypes as readonly DType[];

const ARRAY_OF = {
  float32: Float32Array,
  float64: Float64Array,
  int32: Int32Array,
  uint8: Uint8Array,
  complex64: Float32Array,
  complex128: Float64Array,
} as const;

/** Memory for `size` elements of a dtype; FLUXION_OUT_OF_MEMORY where JavaScript has none. */
export function newTypedArray(dtype: DType, size: number, op = ''): TypedArray {
  try {
    return new ARRAY_OF[dtype](size * partsOf(dtype));
  } catch (cause) {
    throw new FluxionError(
      'FLUXION_OUT_OF_MEMORY',
      op,
      `no memory for an array of ${size} elements of ${dtype}`,
      { cause },
    );
  }
}

/** Bytes of an element. */
export function bytesPerElement(dtype: DType): number {
  return ARRAY_OF[dtype].BYTES_PER_ELEMENT * partsOf(dtype);
}

/** Converts numbers to those of a dtype (complex: of its parts), with JavaScript's own conversion. */
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

export function isComplex(dtype: DType): boolean {
  return dtype === 'complex64' || dtype === 'complex128';
}

/** Whether gradients flow through tensors of a dtype. */
export function carriesGradients(dtype: DType): boolean {
  return isFloating(dtype) || isComplex(dtype);
}

/** Numbers that an element consists of. */
export function partsOf(dtype: DType): number {
  return isComplex(dtype) ? 2 : 1;
}

/** The dtype of the parts of a complex dtype; others are their own. */
export function realOf(dtype: DType): DType {
  return dtype === 'complex64' ? 'float32' : dtype === 'complex128' ? 'float64' : dtype;
}

/** The complex dtype that holds a real one: complex128 for float64, else complex64. */
export function complexOf(dtype: DType): DType {
  return dtype === 'float64' || dtype === 'complex128' ? 'complex128' : 'complex64';
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

/** The dtype of a result of two: complex if either is, of the wider float, else the wider integer. */
export function promote(a: DType, b: DType): DType {
  if (a === b) return a;
  if (isComplex(a) || isComplex(b)) {
    return complexOf(promote(realOf(a), realOf(b)) === 'float64' ? 'float64' : 'float32');
  }
  if (a === 'float64' || b === 'float64') return 'float64';
  if (a === 'float32' || b === 'float32') return 'float32';
  return 'int32';
}
