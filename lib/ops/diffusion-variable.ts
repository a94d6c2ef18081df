import { FluxionError, requireArgument, show } from '../errors';
import type { Tensor } from '../tensor/tensor';
import { expandTo } from './broadcast';
import { defineOp, defineOpWithOutputs } from './define';

/** How the diffusivity at a face follows from the cells beside it: 2 a b / (a + b), or (a + b) / 2. */
export type FaceMean = 'harmonic' | 'arithmetic';

/** A step of variable diffusion; dy and splitting are not read in 1d, dz not in 1d and 2d. */
export interface VariableDiffusionStep {
  dt: number;
  dx: number;
  dy?: number;
  dz?: number;
  boundary: 'neumann' | 'dirichlet' | 'periodic';
  scheme: 'backward-euler' | 'crank-nicolson';
  splitting?: 'lie' | 'strang' | 'douglas';
}

type Params = Required<VariableDiffusionStep> & { faceMean: FaceMean; adjoint: boolean };

const variableDiffusionVjp = defineOpWithOutputs<Params>('variable_diffusion_vjp', {});

const variableDiffusionOp = defineOp<Params>('variable_diffusion', {
  // The gradient in the diffusivity solves again from u.
  saveInputs: (_, needs) => (needs(1) ? [0, 1] : [1]),
  vjp: ({ g, needs, input, params }) => {
    const k = input(1);
    const transposed = { ...params, adjoint: !params.adjoint };
    const alone = () => variableDiffusionOp([g, k], transposed);
    if (!needs(1)) return [alone(), null];
    if (params.adjoint) {
      // <g, B^T u> = <u, B g>: the same gradient in k with g and u in each other's place.
      const gk = variableDiffusionVjp([input(0), k, g], transposed, 2)[1]!;
      return [needs(0) ? alone() : null, gk];
    }
    return variableDiffusionVjp([g, k, input(0)], params, (needs(0) ? 1 : 0) | 2);
  },
}) as (inputs: readonly Tensor[], params: Params) => Tensor;

function requireDiffusivity(op: string, u: Tensor, diffusivity: Tensor): void {
  if (diffusivity.dtype !== u.dtype) {
    throw new FluxionError(
      'FLUXION_DTYPE_MISMATCH',
      op,
      `diffusivity must be ${u.dtype} as the input, got ${diffusivity.dtype}`,
    );
  }
  const fits =
    diffusivity.ndim === u.ndim &&
    diffusivity.shape.every((n, i) => n === u.shape[i] || (i < 2 && n === 1));
  if (fits) return;
  const wanted = u.shape.map((n, i) => (i < 2 && n !== 1 ? `${n} or 1` : n)).join(', ');
  throw new FluxionError(
    'FLUXION_SHAPE_MISMATCH',
    op,
    `a cell-centred diffusivity must have shape [${wanted}], got ${show([...diffusivity.shape])}`,
  );
}

const CHOICES = {
  boundary: ['neumann', 'dirichlet', 'periodic'],
  scheme: ['backward-euler', 'crank-nicolson'],
  splitting: ['lie', 'strang', 'douglas'],
  faceMean: ['harmonic', 'arithmetic'],
} as const;

// The op is internal: its own checks would not name the function that was called.
function requireStep(op: string, params: Params): void {
  for (const name of ['dt', 'dx', 'dy', 'dz'] as const) {
    requireArgument(
      Number.isFinite(params[name]) && params[name] > 0,
      op,
      () => `${name} must be a finite number > 0, got ${show(params[name])}`,
    );
  }
  for (const name of ['boundary', 'scheme', 'splitting', 'faceMean'] as const) {
    const choices: readonly string[] = CHOICES[name];
    requireArgument(
      choices.includes(params[name]),
      op,
      () =>
        `${name} must be one of ${choices.map((c) => `'${c}'`).join(', ')}, got ${show(params[name])}`,
    );
  }
}

/**
 * One implicit step of u_t = sum over axes of d/dx(k du/dx) with k given in the cells, in flux form:
 *
 *     (A u)_i = [f_{i+1/2} (u_{i+1} - u_i) - f_{i-1/2} (u_i - u_{i-1})] / dx^2
 *
 * f is the mean of k in the two cells of a face. 'neumann' closes the walls; 'dirichlet' has a zero cell
 * outside and the cell's own k at the wall; 'periodic' joins the ends. A constant k gives the operator of
 * a constant diffusivity.
 *
 * - `u` [N, C, ...cells] with one to three spatial dimensions; `diffusivity` [N or 1, C or 1, ...cells],
 *   >= 0, in length^2 / time (values inside the tensor are not checked).
 * - Backward Euler obeys the maximum principle; 'neumann' and 'periodic' conserve the sum of each field to
 *   rounding for every dt.
 * - Gradients in u and diffusivity by adjoint solves; where both cells of a face are 0, that of the
 *   harmonic mean is taken as 0.
 * - Deterministic: the same bits for any number of threads.
 * - Cost in float32: 12 bytes a cell forward, 20 backward; 8 and 16 with a shared diffusivity.
 *
 * `op` is the public function in whose name errors are raised; it has validated u.
 * Source: docs/numerics/variable-diffusion.md.
 */
export function variableDiffusion(
  op: string,
  u: Tensor,
  diffusivity: Tensor,
  step: VariableDiffusionStep,
  faceMean: FaceMean = 'harmonic',
): Tensor {
  requireDiffusivity(op, u, diffusivity);
  const { dt, dx, dy = dx, dz = dx, boundary, scheme, splitting = 'lie' } = step;
  const params: Params = {
    ...{ dt, dx, dy, dz, boundary, scheme, splitting, faceMean },
    adjoint: false,
  };
  requireStep(op, params);
  // In 1d lines with different diffusivities lie in the lanes of a vector: each has its own.
  const k = u.ndim === 3 ? expandTo(diffusivity, u.shape) : diffusivity;
  return variableDiffusionOp([u, k], params);
}
