import { FluxionError, requireArgument, show } from '../errors';
import {
  type DType,
  type TypedArray,
  dtypeOfArray,
  complexOf,
  isComplex,
  isFloating,
  newTypedArray,
  partsOf,
  toTypedArray,
} from '../tensor/dtype';
import { onDevice, upload } from '../tensor/handle';
import { checkCreation } from '../tensor/runtime';
import { MAX_DIMS, requireShape, sizeOf } from '../tensor/shape';
import { type NestedArray, Tensor, isTensor } from '../tensor/tensor';
import { noGrad } from '../autograd/tidy';
import { defineOp, requireTensor, withDefaults } from './define';
import { cast } from './promote';

export interface CreationOptions {
  /** Default 'float32', or that of the TypedArray or tensor given. */
  dtype?: DType;
  /** Default 'cpu'. */
  device?: string;
  /** Compute gradients with respect to the tensor. Default false. */
  requiresGrad?: boolean;
}

export interface TensorOptions extends CreationOptions {
  /** Default: that of the nested arrays; one dimension for a TypedArray. */
  shape?: readonly number[];
}

/** Reads and checks the options of a function that makes a tensor. */
function creationOptions(
  op: string,
  options: CreationOptions | undefined,
  dtype: DType = 'float32',
  device = 'cpu',
): { dtype: DType; device: number; requiresGrad: boolean } {
  const given = withDefaults<Required<CreationOptions>>(op, options, {
    dtype,
    device,
    requiresGrad: false,
  });
  return { ...given, device: checkCreation(op, given) };
}

function withGrad(tensor: Tensor, requiresGrad: boolean): Tensor {
  tensor.requiresGrad = requiresGrad;
  return tensor;
}

// ---------------------------------------------------------------------------------------------------
// From values

/** Shape of nested arrays, and their numbers in row-major order. */
function flattened(values: unknown): { shape: number[]; numbers: number[] } {
  const shape: number[] = [];
  for (let level = values; Array.isArray(level); level = level[0]) {
    if (shape.push(level.length) > MAX_DIMS) requireShape('tensor', shape);
    if (level.length === 0) break;
  }
  const numbers: number[] = [];
  const visit = (value: unknown, depth: number) => {
    if (depth === shape.length) {
      requireArgument(
        typeof value === 'number',
        'tensor',
        () => `values must be numbers nested to the same depth everywhere, got ${show(value)}`,
      );
      numbers.push(value);
      return;
    }
    if (!Array.isArray(value) || value.length !== shape[depth]) {
      throw new FluxionError(
        'FLUXION_SHAPE_MISMATCH',
        'tensor',
        `values must not be ragged: expected ${shape[depth]} entries at depth ${depth}, got ` +
          (Array.isArray(value) ? String(value.length) : show(value)),
      );
    }
    for (const item of value) visit(item, depth + 1);
  };
  visit(values, 0);
  return { shape, numbers };
}

/** An array whose buffer was transferred or made smaller shows as empty; what the language itself does with it tells. */
function requireInBounds(array: TypedArray): void {
  if (array.length > 0) return;
  try {
    array.values();
  } catch (cause) {
    let state = 'lie inside their buffer, which has been made smaller';
    try {
      new Uint8Array(array.buffer);
    } catch {
      state = 'not be a detached array (it was transferred)';
    }
    throw new FluxionError('FLUXION_INVALID_ARGUMENT', 'tensor', `values must ${state}`, { cause });
  }
}

/** A typed array that the addon can copy from: of a dtype, attached, not shared with other threads. */
function readable(values: ArrayBufferView): { array: TypedArray; dtype: DType } {
  const dtype = dtypeOfArray(values);
  requireArgument(
    dtype !== undefined,
    'tensor',
    () =>
      'values must be numbers, nested arrays of numbers, Float32Array, Float64Array, Int32Array or ' +
      `Uint8Array, got ${show(values)}`,
  );
  const array = values as TypedArray;
  requireInBounds(array);
  const shared = Object.prototype.toString.call(array.buffer) === '[object SharedArrayBuffer]';
  return { array: shared ? array.slice() : array, dtype };
}

function uploaded(
  array: TypedArray,
  from: DType,
  dtype: DType,
  shape: readonly number[],
  device: number,
): Tensor {
  const expected = sizeOf(shape) * partsOf(dtype);
  if (array.length !== expected) {
    throw new FluxionError(
      'FLUXION_SHAPE_MISMATCH',
      'tensor',
      `values must have ${expected} ${isComplex(dtype) ? 'numbers' : 'elements'} for shape ` +
        `${show([...shape])}${isComplex(dtype) ? ` of ${dtype}` : ''}, got ${array.length}`,
    );
  }
  const own = new Tensor(upload(array, from, shape, device));
  if (from === dtype) return own;
  const converted = cast(own, dtype);
  own.dispose();
  return converted;
}

/** A tensor of pairs of numbers of any dtype; one dimension unless a shape is given. */
function complexTensor(
  array: TypedArray,
  dtype: DType,
  device: number,
  shape?: readonly number[],
): Tensor {
  const own = dtypeOfArray(array)!;
  const floats = isFloating(own) ? array : Float64Array.from(array);
  const from = complexOf(isFloating(own) ? own : 'float64');
  return uploaded(floats, from, dtype, shape ?? [array.length / 2], device);
}

/**
 * A tensor of given values, which are copied: a number, nested arrays of numbers, or a TypedArray, whose
 * dtype it takes unless another is given (the conversion is that of {@link cast}).
 *
 * The values of a complex tensor are pairs: a TypedArray re, im, re, im, ... or nested arrays whose innermost
 * dimension is [re, im], which does not count in the shape. A number stands for itself with imaginary part 0.
 *
 * Errors: FLUXION_SHAPE_MISMATCH for ragged arrays and a shape that does not fit; FLUXION_INVALID_ARGUMENT
 * for other values, detached arrays and TypedArrays without a dtype (BigInt64Array, ...).
 *
 * @example tensor([[1, 2], [3, 4]], { dtype: 'float64', requiresGrad: true })
 */
export function tensor(
  values: NestedArray | readonly NestedArray[] | ArrayBufferView,
  options: TensorOptions = {},
): Tensor {
  requireArgument(
    !isTensor(values),
    'tensor',
    'values must not be a tensor; clone() copies one, detach() cuts its gradient',
  );
  const { shape, ...rest } = options;
  if (shape !== undefined) requireShape('tensor', shape);
  if (ArrayBuffer.isView(values)) {
    const { array, dtype: own } = readable(values);
    const { dtype, device, requiresGrad } = creationOptions('tensor', rest, own);
    if (isComplex(dtype)) return withGrad(complexTensor(array, dtype, device, shape), requiresGrad);
    return withGrad(uploaded(array, own, dtype, shape ?? [array.length], device), requiresGrad);
  }
  const { dtype, device, requiresGrad } = creationOptions('tensor', rest);
  const { shape: nested, numbers } = flattened(values);
  if (isComplex(dtype)) {
    const pairs = nested.length === 0 ? [numbers[0]!, 0] : numbers;
    const empty = numbers.length === 0;
    requireArgument(
      empty || nested.length === 0 || nested.at(-1) === 2,
      'tensor',
      () => `values of a ${dtype} tensor must end in pairs [re, im], got shape ${show(nested)}`,
    );
    const array = Float64Array.from(pairs);
    return withGrad(
      complexTensor(
        array,
        dtype,
        device,
        shape ?? (empty && nested.at(-1) !== 2 ? nested : nested.slice(0, -1)),
      ),
      requiresGrad,
    );
  }
  const from = isFloating(dtype) ? dtype : 'float64';
  return withGrad(
    uploaded(toTypedArray(from, numbers), from, dtype, shape ?? nested, device),
    requiresGrad,
  );
}

// ---------------------------------------------------------------------------------------------------
// Constants

const fillOp = defineOp<{ shape: readonly number[]; value: number; dtype: DType }>('full', {});

function filled(
  op: string,
  shape: readonly number[],
  value: number,
  options: CreationOptions | undefined,
  like: DType = 'float32',
  place?: string,
): Tensor {
  requireShape(op, shape);
  requireArgument(
    typeof value === 'number',
    op,
    () => `value must be a number, got ${show(value)}`,
  );
  const { dtype, device, requiresGrad } = creationOptions(op, options, like, place);
  return withGrad(
    onDevice(device, () => fillOp([], { shape, value, dtype })),
    requiresGrad,
  );
}

/** A tensor of zeros. */
export function zeros(shape: readonly number[], options?: CreationOptions): Tensor {
  return filled('zeros', shape, 0, options);
}

/** A tensor of ones. */
export function ones(shape: readonly number[], options?: CreationOptions): Tensor {
  return filled('ones', shape, 1, options);
}

/** As {@link zeros}: memory without contents is never handed out. */
export function empty(shape: readonly number[], options?: CreationOptions): Tensor {
  return filled('empty', shape, 0, options);
}

/** A tensor with one value everywhere, converted as {@link cast} does. */
export function full(shape: readonly number[], value: number, options?: CreationOptions): Tensor {
  return filled('full', shape, value, options);
}

/** Zeros with the shape and, unless others are given, the dtype and the device of `x`. */
export function zerosLike(x: Tensor, options?: CreationOptions): Tensor {
  requireTensor('zerosLike', x);
  return filled('zerosLike', x.shape, 0, options, x.dtype, x.device);
}

/** Ones with the shape and, unless others are given, the dtype and the device of `x`. */
export function onesLike(x: Tensor, options?: CreationOptions): Tensor {
  requireTensor('onesLike', x);
  return filled('onesLike', x.shape, 1, options, x.dtype, x.device);
}

// ---------------------------------------------------------------------------------------------------
// Sequences

const MAX_LENGTH = 2 ** 31;

/** A tensor of one dimension whose element i is value(i), computed in float64. */
function sequence(
  op: string,
  length: number,
  value: (i: number) => number,
  options: CreationOptions | undefined,
): Tensor {
  requireArgument(
    Number.isInteger(length) && length >= 0 && length <= MAX_LENGTH,
    op,
    () => `the number of elements must be an integer in [0, 2^31], got ${show(length)}`,
  );
  const { dtype, device, requiresGrad } = creationOptions(op, options);
  const values = newTypedArray('float64', length, op);
  for (let i = 0; i < length; i++) values[i] = value(i);
  const own = new Tensor(upload(values, 'float64', [length], device));
  if (dtype === 'float64') return withGrad(own, requiresGrad);
  const converted = noGrad(() => cast(own, dtype));
  own.dispose();
  return withGrad(converted, requiresGrad);
}

function requireFinite(op: string, argument: string, value: unknown): asserts value is number {
  requireArgument(
    Number.isFinite(value),
    op,
    () => `${argument} must be a finite number, got ${show(value)}`,
  );
}

export function arange(end: number, options?: CreationOptions): Tensor;
export function arange(start: number, end: number, options?: CreationOptions): Tensor;
export function arange(start: number, end: number, step: number, options?: CreationOptions): Tensor;
/**
 * start, start + step, ... before `end`: ceil((end - start) / step) values. `arange(end)` starts at 0; the
 * step is 1 unless given. float32 unless another dtype is given, for integers too.
 */
export function arange(...args: (number | CreationOptions | undefined)[]): Tensor {
  const numbers = args.filter((a) => typeof a === 'number');
  const options = args.find((a) => typeof a === 'object');
  const [start, end, step = 1] = numbers.length === 1 ? [0, numbers[0]] : numbers;
  requireFinite('arange', 'start', start);
  requireFinite('arange', 'end', end);
  requireFinite('arange', 'step', step);
  requireArgument(
    step !== 0 && (end - start) / step >= 0,
    'arange',
    () => `step must lead from start to end, got ${start}, ${end} and ${step}`,
  );
  return sequence('arange', Math.ceil((end - start) / step), (i) => start + i * step, options);
}

/** n values from `start` to `end`, both included, at equal distances. */
export function linspace(start: number, end: number, n: number, options?: CreationOptions): Tensor {
  requireFinite('linspace', 'start', start);
  requireFinite('linspace', 'end', end);
  // From both ends, so that the last value is exactly `end` and the sequence is symmetric.
  const step = n > 1 ? (end - start) / (n - 1) : 0;
  const value = (i: number) => (i < n / 2 ? start + i * step : end - (n - 1 - i) * step);
  return sequence('linspace', n, value, options);
}

/** The identity matrix of n rows. */
export function eye(n: number, options?: CreationOptions): Tensor {
  requireArgument(
    Number.isInteger(n) && n >= 0 && n * n <= MAX_LENGTH,
    'eye',
    () => `n must be an integer in [0, 46340], got ${show(n)}`,
  );
  const { dtype, device, requiresGrad } = creationOptions('eye', options);
  const values = newTypedArray(dtype, n * n, 'eye');
  for (let i = 0; i < n; i++) values[i * (n + 1) * partsOf(dtype)] = 1;
  return withGrad(new Tensor(upload(values, dtype, [n, n], device)), requiresGrad);
}
