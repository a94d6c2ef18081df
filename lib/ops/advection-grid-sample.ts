import type { Tensor } from '../tensor/tensor';
import {
  type OpFunction,
  defineOp,
  defineOpWithOutputs,
  requireTensor,
  withDefaults,
} from './define';

export interface GridSampleOptions {
  /** Default 'bilinear' (trilinear for 5 dimensions). 'bicubic' is for 4 dimensions only. */
  mode?: 'bilinear' | 'nearest' | 'bicubic';
  /** Default 'zeros'. 'border': the nearest cell; 'reflection': the mirror image. */
  paddingMode?: 'zeros' | 'border' | 'reflection';
  /** Whether -1 and 1 are the centres of the end cells, or their outer faces. Default false. */
  alignCorners?: boolean;
}

type GridSampleParams = Required<GridSampleOptions>;

const gridSampleVjp = defineOpWithOutputs<GridSampleParams>('grid_sample_vjp', {});

// Sampling is linear in u: the adjoint in u, where the grid is constant, has sampling as its adjoint.
const gridSampleInputVjp: OpFunction<GridSampleParams & { inputShape: readonly number[] }> =
  defineOp<GridSampleParams & { inputShape: readonly number[] }>('grid_sample_input_vjp', {
    saveInputs: [1],
    vjp: ({ g, input, params: { mode, paddingMode, alignCorners } }) => [
      gridSampleOp([g, input(1)], { mode, paddingMode, alignCorners }),
      null,
    ],
  });

const gridSampleOp: OpFunction<GridSampleParams> = defineOp<GridSampleParams>('grid_sample', {
  saveInputs: (_, needs) => (needs(1) ? [0, 1] : [1]),
  vjp: ({ g, needs, input, shape, params }) => {
    if (needs(1)) return gridSampleVjp([g, input(0), input(1)], params, needs(0) ? 3 : 2);
    return [gridSampleInputVjp([g, input(1)], { ...params, inputShape: shape(0) }), null];
  },
});

/**
 * Samples an image at the positions of a grid, as torch.nn.functional.grid_sample.
 *
 *     out[n, c, i, j] = u[n, c] interpolated at grid[n, i, j] = (x, y)
 *
 * Positions are normalised: with `alignCorners` -1 and 1 are the centres of the end cells, else their outer faces.
 *
 * - `u` [N, C, H, W], `grid` [N, OH, OW, 2] with (x, y); or `u` [N, C, D, H, W], `grid` [N, OD, OH, OW, 3] with
 *   (x, y, z).
 * - Returns [N, C, OH, OW] or [N, C, OD, OH, OW].
 * - 'reflection' mirrors at the faces, or with `alignCorners` at the end centres. 'bicubic' is Keys' kernel with
 *   a = -0.75. NaN in the grid counts as -1.
 * - Gradients in u (of any order) and grid (0 for 'nearest').
 * - Deterministic: the same bits for any number of threads, forward and backward.
 * - Cost: 8 bytes a sample and channel in float32, 12 backward.
 * - Errors: FLUXION_SHAPE_MISMATCH, FLUXION_DTYPE_MISMATCH; FLUXION_INVALID_ARGUMENT for an unknown option and for
 *   'bicubic' with 5 dimensions.
 */
export function gridSample(u: Tensor, grid: Tensor, options?: GridSampleOptions): Tensor {
  const op = 'gridSample';
  requireTensor(op, u);
  requireTensor(op, grid, 'grid');
  const params = withDefaults<GridSampleParams>(op, options, {
    mode: 'bilinear',
    paddingMode: 'zeros',
    alignCorners: false,
  });
  return gridSampleOp([u, grid], params);
}
