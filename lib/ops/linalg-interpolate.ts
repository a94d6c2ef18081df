import { FluxionError, requireArgument, show } from '../errors';
import type { Tensor } from '../tensor/tensor';
import { type OpFunction, defineOp, withDefaults } from './define';
import { floating } from './promote';

// Resampling of [N, C, W], [N, C, H, W] and [N, C, D, H, W] to another number of grid points.

const MODES = [
  'nearest',
  'nearest-exact',
  'linear',
  'bilinear',
  'bicubic',
  'trilinear',
  'area',
] as const;

/** How {@link interpolate} reads between grid points. */
export type InterpolationMode = (typeof MODES)[number];

/** The grid dimensions for which a mode is meant, and whether it has corners to align. */
const GRIDS: Partial<Record<InterpolationMode, number>> = {
  linear: 1,
  bilinear: 2,
  bicubic: 2,
  trilinear: 3,
};

export interface InterpolateOptions {
  /** Grid points of the result, one number for all dimensions or one for each. */
  size?: number | readonly number[] | null;
  /** What multiplies the size, in place of it: floor(n scaleFactor) points. */
  scaleFactor?: number | readonly number[] | null;
  /** Default 'nearest'. */
  mode?: InterpolationMode;
  /**
   * Whether the centres of the outermost points stay in place, rather than the ends of the grid; for
   * 'linear', 'bilinear', 'bicubic' and 'trilinear'. Default false.
   */
  alignCorners?: boolean | null;
  /** Whether the distance of points follows from the sizes, rather than from scaleFactor. Default false. */
  recomputeScaleFactor?: boolean | null;
}

interface Resampling {
  size: number[];
  mode: 'nearest' | 'nearest-exact' | 'linear' | 'cubic' | 'area';
  alignCorners: boolean;
  scaleD: number;
  scaleH: number;
  scaleW: number;
}

const interpolateVjp: OpFunction<Resampling & { inputShape: readonly number[] }> = defineOp<
  Resampling & { inputShape: readonly number[] }
>('interpolate_vjp', {
  vjp: ({ g, params: { inputShape: _, ...params } }) => [interpolateOp([g], params)],
});

const interpolateOp: OpFunction<Resampling> = defineOp<Resampling>('interpolate', {
  vjp: ({ g, shape, params }) => [interpolateVjp([g], { ...params, inputShape: shape(0) })],
});

/** One number for each grid dimension. */
function perDimension(
  argument: string,
  value: number | readonly number[],
  spatial: number,
  valid: (n: number) => boolean,
  requirement: string,
): number[] {
  const list: readonly unknown[] | null =
    typeof value === 'number'
      ? Array<number>(spatial).fill(value)
      : Array.isArray(value)
        ? value
        : null;
  requireArgument(
    list !== null &&
      list.length === spatial &&
      list.every((n) => typeof n === 'number' && valid(n)),
    'interpolate',
    () => `${argument} must be ${requirement}, or ${spatial} of them, got ${show(value)}`,
  );
  return list as number[];
}

function checkMode(mode: InterpolationMode, spatial: number, alignCorners: boolean | null): void {
  requireArgument(
    MODES.includes(mode),
    'interpolate',
    () => `mode must be one of ${MODES.join(', ')}, got ${show(mode)}`,
  );
  const grid = GRIDS[mode];
  if (grid !== undefined && grid !== spatial) {
    throw new FluxionError(
      'FLUXION_SHAPE_MISMATCH',
      'interpolate',
      `input must have ${grid + 2} dimensions for mode '${mode}', got ${spatial + 2}`,
    );
  }
  requireArgument(
    alignCorners === null || (typeof alignCorners === 'boolean' && grid !== undefined),
    'interpolate',
    () =>
      `alignCorners must be true or false, with a linear or cubic mode only, got ${show(alignCorners)} with '${mode}'`,
  );
}

/**
 * Resamples a regular grid to another size.
 *
 * - `x` [N, C, W], [N, C, H, W] or [N, C, D, H, W], floating-point (integers are taken as float32).
 * - Point i of the result lies at s = r (i + 1/2) - 1/2 of the input, with r = n_in / n_out, or 1 / scaleFactor
 *   where that is given; with alignCorners at s = i (n_in - 1) / (n_out - 1).
 * - 'nearest' reads floor(r i), 'nearest-exact' the point nearest to s, 'linear', 'bilinear' and 'trilinear'
 *   the 2, 4 or 8 points around it, 'bicubic' 16 points by cubic convolution with a = -3/4, 'area' the mean of
 *   the points floor(i n_in / n_out) up to ceil((i + 1) n_in / n_out). Beyond the grid stands its outermost
 *   point.
 * - Linear in x and differentiable any number of times; the adjoint is the exact transpose, a gather, and
 *   deterministic. Cost: one read and one write (two with a depth that changes).
 * - Errors: FLUXION_INVALID_ARGUMENT, FLUXION_SHAPE_MISMATCH for a mode that is meant for another number of
 *   dimensions.
 *
 * Source: PyTorch's torch.nn.functional.interpolate without antialiasing; Keys, IEEE Trans. ASSP 29 (1981).
 */
export function interpolate(x: Tensor, options: InterpolateOptions): Tensor {
  const op = 'interpolate';
  const input = floating(op, x);
  const { size, scaleFactor, mode, alignCorners, recomputeScaleFactor } = withDefaults<
    Required<InterpolateOptions>
  >(op, options, {
    size: null,
    scaleFactor: null,
    mode: 'nearest',
    alignCorners: null,
    recomputeScaleFactor: null,
  });
  const spatial = input.ndim - 2;
  if (spatial < 1 || spatial > 3) {
    throw new FluxionError(
      'FLUXION_SHAPE_MISMATCH',
      op,
      `input must have 3, 4 or 5 dimensions, got shape ${show([...input.shape])}`,
    );
  }
  checkMode(mode, spatial, alignCorners);
  requireArgument(
    (size === null) !== (scaleFactor === null),
    op,
    () => `either size or scaleFactor must be given, got ${show(size)} and ${show(scaleFactor)}`,
  );
  requireArgument(
    recomputeScaleFactor === null ||
      (typeof recomputeScaleFactor === 'boolean' && !(recomputeScaleFactor && size !== null)),
    op,
    () =>
      `recomputeScaleFactor must be true or false, and true with scaleFactor only, got ${show(recomputeScaleFactor)}`,
  );
  const whole = (n: number) => Number.isSafeInteger(n) && n > 0;
  const positive = (n: number) => Number.isFinite(n) && n > 0;
  const factors =
    scaleFactor === null
      ? null
      : perDimension('scaleFactor', scaleFactor, spatial, positive, 'a number > 0');
  const sizes = factors
    ? factors.map((factor, i) => Math.floor(input.shape[i + 2]! * factor))
    : perDimension('size', size!, spatial, whole, 'an integer > 0');
  const scales = factors && !recomputeScaleFactor && mode !== 'area' ? factors : [];
  const scale = (back: number) => (spatial >= back ? (scales.at(-back) ?? 0) : 0);
  return interpolateOp([input], {
    size: sizes,
    mode: mode === 'bicubic' ? 'cubic' : mode.endsWith('linear') ? 'linear' : (mode as 'area'),
    alignCorners: alignCorners ?? false,
    scaleD: scale(3),
    scaleH: scale(2),
    scaleW: scale(1),
  });
}
