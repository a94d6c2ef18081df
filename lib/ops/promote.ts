import { FluxionError, requireArgument, show } from '../errors';
import {
  type DType,
  carriesGradients,
  isComplex,
  isFloating,
  promote,
  requireDType,
} from '../tensor/dtype';
import { type Tensor, isTensor } from '../tensor/tensor';
import { sumTo } from './broadcast';
import {
  type OpFunction,
  type Rule,
  type TensorLike,
  defineOp,
  publicName,
  requireTensor,
} from './define';

// What the rules of all families need of the complex numbers; lib/ops/complex.ts has the public functions.
// A cotangent of z is dL/d Re z + i dL/d Im z, as in PyTorch: the adjoint of a linear map is its conjugate
// transpose, and what flows back to a real tensor is the real part.

/** @internal re + i im: two tensors of one floating dtype, or a tensor and a number. */
export const complexOp: OpFunction = defineOp('complex', {
  vjp: ({ g, needs, shape }) => [
    needs(0) ? sumTo(realOp([g], undefined), shape(0)) : null,
    needs(1) ? sumTo(imagOp([g], undefined), shape(1)) : null,
  ],
});

/** @internal Re z, a view. */
export const realOp: OpFunction = defineOp('real', {
  vjp: ({ g }) => [complexOp([g, 0], undefined)],
});

/** @internal Im z, a view. */
export const imagOp: OpFunction = defineOp('imag', {
  vjp: ({ g }) => [complexOp([0, g], undefined)],
});

/** @internal The conjugate of a complex tensor. */
export const conjOp: OpFunction = defineOp('conj', { vjp: ({ g }) => [conjOp([g], undefined)] });

/** @internal a conj(b) in one pass, the cotangent of a factor. */
export const mulConjOp: OpFunction = defineOp('mul_conj', {
  saveInputs: [0, 1],
  vjp: ({ g, needs, input, shape }) => [
    needs(0) ? sumTo(mulConjOp([g, conjOp([input(1)], undefined)], undefined), shape(0)) : null,
    needs(1) ? sumTo(mulConjOp([input(0), g], undefined), shape(1)) : null,
  ],
});

const castOp = defineOp<{ dtype: DType }>('cast', {
  vjp: ({ g, dtype }) => {
    const to = dtype(0);
    return [isComplex(g.dtype) && !isComplex(to) ? cast(realOp([g], undefined), to) : cast(g, to)];
  },
});

/**
 * Converts to another dtype. Floats become integers by truncation, saturating; NaN becomes 0. Real numbers
 * become complex ones with the imaginary part 0.
 *
 * Gradient: through casts between floating and complex types. Cost: one read and one write; none where the
 * dtype is `dtype` already: the tensor itself is returned.
 *
 * Errors: FLUXION_DTYPE_MISMATCH from complex to real: take `real`, `imag` or `abs`.
 */
export function cast(x: Tensor, dtype: DType): Tensor {
  requireTensor('cast', x);
  requireDType('cast', dtype);
  return x.dtype === dtype ? x : castOp([x], { dtype });
}

/** An operand of an operation that has no integer and no complex form: integers are taken as float32. */
export function floating(op: string, x: Tensor): Tensor {
  requireTensor(op, x);
  if (isFloating(x.dtype)) return x;
  if (!isComplex(x.dtype)) return cast(x, 'float32');
  throw new FluxionError(
    'FLUXION_DTYPE_MISMATCH',
    op,
    `input must be real, got ${x.dtype}; take real(), imag() or abs() of it`,
  );
}

/** An operand of an operation that has no integer form: integers are taken as float32. */
export function inexact(op: string, x: Tensor): Tensor {
  requireTensor(op, x);
  return carriesGradients(x.dtype) ? x : cast(x, 'float32');
}

/** Brings two operands to one dtype; a fractional number makes integers float32. */
export function promoted(op: string, a: TensorLike, b: TensorLike): [TensorLike, TensorLike] {
  if (typeof a !== 'number') requireTensor(op, a, 'argument 0');
  if (typeof b !== 'number') requireTensor(op, b, 'argument 1');
  if (isTensor(a) && isTensor(b)) {
    if (a.dtype === b.dtype) return [a, b];
    const dtype = promote(a.dtype, b.dtype);
    return [cast(a, dtype), cast(b, dtype)];
  }
  const tensor = isTensor(a) ? a : b;
  const number = isTensor(a) ? b : a;
  requireArgument(
    isTensor(tensor) && typeof number === 'number',
    op,
    () => `at least one operand must be a tensor, got ${show(a)} and ${show(b)}`,
  );
  if (carriesGradients(tensor.dtype) || Number.isInteger(number)) return [a, b];
  const wide = cast(tensor, 'float32');
  return isTensor(a) ? [wide, b] : [a, wide];
}

/** A function of one real variable from its op. */
export function unary(id: string, rule: Rule<undefined>): (x: Tensor) => Tensor {
  const run = defineOp(id, rule);
  const op = publicName(id);
  return (x) => run([floating(op, x)], undefined);
}
