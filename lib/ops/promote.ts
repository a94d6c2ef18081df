import { requireArgument, show } from '../errors';
import { type DType, isFloating, promote, requireDType } from '../tensor/dtype';
import { type Tensor, isTensor } from '../tensor/tensor';
import { type TensorLike, defineOp, requireTensor } from './define';

const castOp = defineOp<{ dtype: DType }>('cast', {
  vjp: ({ g, dtype }) => [cast(g, dtype(0))],
});

/**
 * Converts to another dtype. Floats become integers by truncation, saturating; NaN becomes 0.
 *
 * Gradient: through casts between floating types. Cost: one read and one write; none where the dtype is
 * `dtype` already: the tensor itself is returned.
 */
export function cast(x: Tensor, dtype: DType): Tensor {
  requireTensor('cast', x);
  requireDType('cast', dtype);
  return x.dtype === dtype ? x : castOp([x], { dtype });
}

/** An operand of an operation that has no integer form: integers are taken as float32. */
export function floating(op: string, x: Tensor): Tensor {
  requireTensor(op, x);
  return isFloating(x.dtype) ? x : cast(x, 'float32');
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
  if (isFloating(tensor.dtype) || Number.isInteger(number)) return [a, b];
  const wide = cast(tensor, 'float32');
  return isTensor(a) ? [wide, b] : [a, wide];
}
