import { requireArgument, show } from '../errors';
import { type Tensor, isTensor } from '../tensor/tensor';
import { broadcastShapes, expandTo } from './broadcast';
import { axisOf, defineOp, defineOpWithOutputs, withDefaults } from './define';
import { permute } from './shape';

interface TridiagonalParams {
  periodic: boolean;
}

const tridiagonalSolveVjp = defineOpWithOutputs<TridiagonalParams>('tridiagonal_solve_vjp', {});

const tridiagonalSolveOp = defineOp<TridiagonalParams>('tridiagonal_solve', {
  saveInputs: [0, 1, 2],
  saveOutputs: [0],
  vjp: ({ g, needs, input, output, params }) => {
    const wanted = [0, 1, 2, 3].reduce((mask, i) => mask | (needs(i) ? 1 << i : 0), 0);
    return tridiagonalSolveVjp([g, input(0), input(1), input(2), output(0)], params, wanted);
  },
});

export interface TridiagonalSolveOptions {
  /** The axis along which the systems run. Default -1. */
  axis?: number;
  /** Couple the ends: lower_0 multiplies x_{n-1} and upper_{n-1} multiplies x_0. Default false. */
  periodic?: boolean;
}

/**
 * Solves lower_i x_{i-1} + diag_i x_i + upper_i x_{i+1} = rhs_i along an axis, for all systems of the batch.
 *
 * All four broadcast to one shape, which the result has; the systems run along `axis` of that shape.
 * Without `periodic`, lower_0 and upper_{n-1} are not read and get the gradient 0. Elimination is without
 * pivoting: accurate for diagonally dominant systems (every implicit diffusion or Helmholtz matrix), NaN
 * or Infinity where a pivot vanishes.
 *
 * - Gradients in all four, by the adjoint solve.
 * - Deterministic. Cost: 8 flops and, with full coefficient arrays, 20 bytes an unknown in float32.
 * - Errors: FLUXION_SHAPE_MISMATCH, FLUXION_DTYPE_MISMATCH, FLUXION_INVALID_ARGUMENT (axis).
 *
 * Source: Press et al., Numerical Recipes, 2.4 (Thomas) and 2.7 (periodic, Sherman-Morrison).
 */
export function tridiagonalSolve(
  lower: Tensor,
  diag: Tensor,
  upper: Tensor,
  rhs: Tensor,
  options?: TridiagonalSolveOptions,
): Tensor {
  const op = 'tridiagonalSolve';
  const { axis, periodic } = withDefaults(op, options, { axis: -1, periodic: false });
  const given = [lower, diag, upper, rhs];
  given.forEach((t, i) =>
    requireArgument(
      isTensor(t),
      op,
      () => `${['lower', 'diag', 'upper', 'rhs'][i]} must be a tensor, got ${show(t)}`,
    ),
  );
  const shape = given.map((t) => t.shape).reduce((a, b) => broadcastShapes(op, a, b)) as number[];
  requireArgument(shape.length > 0, op, 'rhs must have at least one dimension');
  const along = axisOf(op, axis, shape.length, 'axis');
  const last = shape.length - 1;
  const order = shape.map((_, i) => (i === along ? last : i === last ? along : i));
  const systems = given.map((t) => {
    const full = expandTo(t, shape);
    return along === last ? full : permute(full, order);
  });
  const x = tridiagonalSolveOp(systems, { periodic });
  return along === last ? x : permute(x, order);
}
