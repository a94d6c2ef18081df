import { FluxionError, requireArgument, show } from '../errors';
import type { Tensor } from '../tensor/tensor';
import { reshape } from './shape';
import { defineOp, defineOpWithOutputs, requireTensor, withDefaults } from './define';
import type { Boundary } from './diffusion';
import { diffusivityTable } from './diffusion-table';
import { expandTo } from './broadcast';
import { zeros } from './creation';
import { slice } from './shape';

/** Activations of the reaction of {@link adrStep2d}. */
export type ReactionActivation = 'relu' | 'silu' | 'gelu' | 'tanh';

/** The pointwise reaction R(v) = W2 act(W1 v + b1) + b2 of M hidden units. */
export interface PointwiseReaction {
  /** [M, C]. */
  weight1: Tensor;
  /** [M]; default zero. */
  bias1?: Tensor | null;
  /** [C, M]. */
  weight2: Tensor;
  /** [C]; default zero. */
  bias2?: Tensor | null;
  /** Default 'silu'. */
  activation?: ReactionActivation;
}

export interface AdrStep2dOptions {
  /** Time step of the diffusion and the reaction, > 0; displacements are given whole. */
  dt: number;
  /** Cell width, > 0. Default 1. */
  dx?: number;
  /** Cell height, > 0. Default dx. */
  dy?: number;
  /** What lies outside for the advection. Default 'zeros'. */
  advectionBoundary?: 'zeros' | 'border' | 'reflect' | 'periodic';
  /** Default 'neumann'. */
  diffusionBoundary?: Boundary;
}

type AdrParams = Required<AdrStep2dOptions> & { activation: ReactionActivation };

const adrStepVjp = defineOpWithOutputs<AdrParams>('adr_step_2d_vjp', {});

const adrStepOp = defineOp<AdrParams>('adr_step_2d', {
  saveInputs: [0, 1, 2, 3, 4, 5, 6],
  vjp: ({ g, needs, input, shape, params }) => {
    const inputs = [0, 1, 2, 3, 4, 5, 6].map(input);
    const reaction = [3, 4, 5, 6].some(needs);
    const wanted = [0, 1, 2].reduce((mask, i) => mask | (needs(i) ? 1 << i : 0), reaction ? 8 : 0);
    const [gu, gd, gk, flat] = adrStepVjp([g, ...inputs], params, wanted);
    let end = 0;
    const parameters = [3, 4, 5, 6].map((i) => {
      const start = end;
      end += shape(i).reduce((a, b) => a * b, 1);
      return needs(i) ? reshape(slice(flat!, 0, start, end), shape(i)) : null;
    });
    return [gu!, gd!, gk!, ...parameters];
  },
});

/**
 * One step of advection, implicit diffusion and pointwise reaction, in this order (Lie splitting):
 *
 *     a = u(x + d)                                            bilinear, {@link advectSemiLagrangian2d}
 *     v = (I - dt k_y D_yy)^-1 (I - dt k_x D_xx)^-1 a         {@link implicitDiffusion2d}
 *     w = v + dt (W2 act(W1 v + b1) + b2)                     at each pixel
 *
 * The same as the composition of the three, in one operation whose fields stay in the cache: a sample
 * is read once and written once, and nothing but the inputs is kept for backward, which computes the fields
 * again.
 *
 * - `u` [N, C, H, W]; `displacement` [N or 1, 2, H, W] in cells, (x, y) order, for all channels;
 *   `diffusivity` a number, [C] or [C, 2], in length^2 / time; `reaction` see {@link PointwiseReaction}.
 * - Returns [N, C, H, W].
 * - Gradients in all tensors, of first order.
 * - Deterministic: the same bits for any number of threads. Samples are the unit of parallel work.
 * - Cost: 4 C M + 20 C flops a pixel and, while a sample of all channels fits the cache (1 MB for 64
 *   channels of 64 x 64 in float32), 8 bytes a cell; backward 10 C M flops a pixel.
 * - Errors: FLUXION_INVALID_ARGUMENT for dt, dx or dy not finite and > 0, unknown boundaries and
 *   activations; FLUXION_SHAPE_MISMATCH, FLUXION_DTYPE_MISMATCH.
 *
 * Source: the split layer of docs/numerics/adr-step.md.
 */
export function adrStep2d(
  u: Tensor,
  displacement: Tensor,
  diffusivity: Tensor | number,
  reaction: PointwiseReaction,
  options: AdrStep2dOptions,
): Tensor {
  const op = 'adrStep2d';
  requireTensor(op, u);
  requireTensor(op, displacement, 'displacement');
  if (u.ndim !== 4) {
    throw new FluxionError(
      'FLUXION_SHAPE_MISMATCH',
      op,
      `input must have shape [N, C, H, W], got ${show([...u.shape])}`,
    );
  }
  const { weight1, bias1, weight2, bias2, activation } = withDefaults<Required<PointwiseReaction>>(
    op,
    reaction,
    {
      weight1: undefined as unknown as Tensor,
      bias1: null,
      weight2: undefined as unknown as Tensor,
      bias2: null,
      activation: 'silu',
    },
  );
  requireTensor(op, weight1, 'weight1');
  requireTensor(op, weight2, 'weight2');
  requireArgument(
    weight1.ndim === 2,
    op,
    () => `weight1 must have shape [M, C], got ${show([...weight1.shape])}`,
  );
  const dx = options?.dx ?? 1;
  const settings = withDefaults<Required<AdrStep2dOptions>>(op, options, {
    dt: NaN,
    dx,
    dy: dx,
    advectionBoundary: 'zeros',
    diffusionBoundary: 'neumann',
  });
  const bias = (given: Tensor | null, name: string, size: number) => {
    if (given === null) return zeros([size], { dtype: u.dtype, device: u.device });
    requireTensor(op, given, name);
    return given;
  };
  return adrStepOp(
    [
      u,
      displacement,
      expandTo(diffusivityTable(op, u, diffusivity), [u.shape[1]!, 2]),
      weight1,
      bias(bias1, 'bias1', weight1.shape[0]!),
      weight2,
      bias(bias2, 'bias2', u.shape[1]!),
    ],
    { ...settings, activation },
  );
}
