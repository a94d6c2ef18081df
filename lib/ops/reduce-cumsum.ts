import type { Tensor } from '../tensor/tensor';
import { reshapeOp } from './broadcast';
import { type OpFunction, axisOf, defineOp, requireTensor } from './define';

interface CumsumParams {
  dim: number;
  reverse: boolean;
}

const cumsumOp: OpFunction<CumsumParams> = defineOp<CumsumParams>('cumsum', {
  vjp: ({ g, params: { dim, reverse } }) => [cumsumOp([g], { dim, reverse: !reverse })],
});

/**
 * The running sum y_i = x_0 + ... + x_i along a dimension, in the shape of x.
 *
 * - Sums are kept in float64; uint8 gives int32, which wraps beyond 2^31 as int32 does.
 * - Differentiable, any number of times: the adjoint is the running sum from the other end.
 * - Deterministic. Cost: one read and one write.
 */
export function cumsum(x: Tensor, dim: number): Tensor {
  requireTensor('cumsum', x);
  const axis = axisOf('cumsum', dim, x.ndim);
  if (x.ndim > 0) return cumsumOp([x], { dim: axis, reverse: false });
  return reshapeOp([cumsumOp([reshapeOp([x], { shape: [1] })], { dim: 0, reverse: false })], {
    shape: [],
  });
}
