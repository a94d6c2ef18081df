import { requireArgument, show } from '../errors';
import { gradEnabled } from '../tensor/scope';
import type { Tensor } from '../tensor/tensor';
import { reshapeOp } from './broadcast';
import { type OpFunction, defineOp, defineOpWithOutputs, withDefaults } from './define';
import { type Size2d, pairOf } from './linalg-convolution';
import { floating } from './promote';
import { gather } from './shape-index';

// Pooling of [N, C, H, W]. Deterministic. Cost: the windows are read once; a window of k x k takes k^2
// operations an output element.

interface PoolParams {
  kernelSize: [number, number];
  stride: [number, number];
  padding: [number, number];
  dilation: [number, number];
  ceilMode: boolean;
}
interface InputShape {
  inputShape: readonly number[];
}

function poolParams(
  op: string,
  kernelSize: Size2d,
  { stride, padding, ceilMode }: Required<PoolOptions>,
  dilation: Size2d = 1,
): PoolParams {
  const size = pairOf(op, 'kernelSize', kernelSize, 1);
  return {
    kernelSize: size,
    stride: stride === null ? size : pairOf(op, 'stride', stride, 1),
    padding: pairOf(op, 'padding', padding, 0),
    dilation: pairOf(op, 'dilation', dilation, 1),
    ceilMode,
  };
}

/** Runs f of [N, C, H, W] for one sample [C, H, W] too. */
function forImages(input: Tensor, f: (images: Tensor) => Tensor): Tensor {
  if (input.ndim !== 3) return f(input);
  const y = f(reshapeOp([input], { shape: [1, ...input.shape] }));
  return reshapeOp([y], { shape: y.shape.slice(1) });
}

export interface PoolOptions {
  /** Default: kernelSize. */
  stride?: Size2d | null;
  /** Rows and columns around the input, at most half of the window. Default 0. */
  padding?: Size2d;
  /** Round the size of the result up: a last window may leave the padding. Default false. */
  ceilMode?: boolean;
}

const POOL_DEFAULTS: Required<PoolOptions> = { stride: null, padding: 0, ceilMode: false };

export interface MaxPool2dOptions extends PoolOptions {
  /** Distance of the elements of a window. Default 1. */
  dilation?: Size2d;
}

const maxPool2dVjp = defineOp<PoolParams & InputShape>('max_pool2d_vjp', {
  saveInputs: [1],
  // It scatters to the positions of the maxima; its adjoint reads there.
  vjp: ({ g: h, needs, input, shape }) => {
    if (!needs(0)) return [null, null];
    const [n, c, height, width] = h.shape as [number, number, number, number];
    const [, , oh, ow] = shape(0) as [number, number, number, number];
    const planes = reshapeOp([h], { shape: [n, c, height * width] });
    const index = reshapeOp([input(1)], { shape: [n, c, oh * ow] });
    return [reshapeOp([gather(planes, 2, index)], { shape: shape(0) }), null];
  },
});

const maxPool2dOp = defineOpWithOutputs<PoolParams>('max_pool2d', {
  saveOutputs: [1],
  vjp: ({ g, output, shape, params }) => [
    maxPool2dVjp([g, output(1)], { ...params, inputShape: shape(0) }),
  ],
});

/**
 * The largest value of each window; NaN where there is one.
 *
 * - `x` [N, C, H, W] or [C, H, W]; the padding is -Infinity. Returns [N, C, OH, OW],
 *   OH = floor((H + 2 padding - dilation (kernelSize - 1) - 1) / stride) + 1, rounded up in ceil mode.
 * - The gradient goes to the first of equal values.
 * - Errors: FLUXION_INVALID_ARGUMENT for padding above half of the window; FLUXION_SHAPE_MISMATCH where no
 *   window fits.
 */
export function maxPool2d(x: Tensor, kernelSize: Size2d, options?: MaxPool2dOptions): Tensor {
  const op = 'maxPool2d';
  const { dilation, ...rest } = withDefaults<Required<MaxPool2dOptions>>(
    op,
    options,
    { ...POOL_DEFAULTS, dilation: 1 },
    ['padding', 'dilation'],
  );
  const params = poolParams(op, kernelSize, rest, dilation);
  return forImages(floating(op, x), (images) => {
    const withIndices = images.requiresGrad && gradEnabled();
    const [y, indices] = maxPool2dOp([images], params, withIndices ? 3 : 1);
    indices?.dispose(); // what the tape has saved is its own
    return y!;
  });
}

interface AvgPoolParams extends PoolParams {
  countIncludePad: boolean;
  /** 0: the number of elements. */
  divisorOverride: number;
}

export interface AvgPool2dOptions extends PoolOptions {
  /** Whether the padding, which is 0, counts in the mean. Default true. */
  countIncludePad?: boolean;
  /** Divide each sum by this instead of the number of its elements. Default null: do not. */
  divisorOverride?: number | null;
}

const avgPool2dVjp: OpFunction<AvgPoolParams & InputShape> = defineOp<AvgPoolParams & InputShape>(
  'avg_pool2d_vjp',
  {
    vjp: ({ g: h, params: { inputShape: _, ...params } }) => [avgPool2dOp([h], params)],
  },
);
const avgPool2dOp: OpFunction<AvgPoolParams> = defineOp<AvgPoolParams>('avg_pool2d', {
  vjp: ({ g, shape, params }) => [avgPool2dVjp([g], { ...params, inputShape: shape(0) })],
});

/**
 * The mean of each window; shapes and errors as {@link maxPool2d}, with zeros around the input. What of a
 * window lies outside the padding (ceil mode) never counts. Differentiable.
 */
export function avgPool2d(x: Tensor, kernelSize: Size2d, options?: AvgPool2dOptions): Tensor {
  const op = 'avgPool2d';
  const { countIncludePad, divisorOverride, ...rest } = withDefaults<Required<AvgPool2dOptions>>(
    op,
    options,
    { ...POOL_DEFAULTS, countIncludePad: true, divisorOverride: null },
    ['padding'],
  );
  requireArgument(
    divisorOverride === null || (Number.isInteger(divisorOverride) && divisorOverride !== 0),
    op,
    () => `divisorOverride must be an integer other than 0, got ${show(divisorOverride)}`,
  );
  const params = { ...poolParams(op, kernelSize, rest), countIncludePad };
  return forImages(floating(op, x), (images) =>
    avgPool2dOp([images], { ...params, divisorOverride: divisorOverride ?? 0 }),
  );
}

const adaptiveAvgPool2dVjp: OpFunction<InputShape> = defineOp<InputShape>(
  'adaptive_avg_pool2d_vjp',
  {
    vjp: ({ g: h, shape }) => [
      adaptiveAvgPool2dOp([h], { outputSize: shape(0).slice(2) as [number, number] }),
    ],
  },
);
const adaptiveAvgPool2dOp = defineOp<{ outputSize: [number, number] }>('adaptive_avg_pool2d', {
  vjp: ({ g, shape }) => [adaptiveAvgPool2dVjp([g], { inputShape: shape(0) })],
});

/**
 * Means over windows chosen so that the result has `outputSize`: output i averages the rows
 * floor(i H / OH) up to ceil((i + 1) H / OH), and columns likewise. 1 gives the mean of each plane.
 *
 * `x` [N, C, H, W] or [C, H, W]; returns [N, C, OH, OW]. null in outputSize keeps a size. Differentiable.
 */
export function adaptiveAvgPool2d(
  x: Tensor,
  outputSize: number | null | readonly [number | null, number | null],
): Tensor {
  const op = 'adaptiveAvgPool2d';
  return forImages(floating(op, x), (images) => {
    const given = (Array.isArray(outputSize) ? outputSize : [outputSize, outputSize]) as readonly (
      number | null
    )[];
    const sizes = given.map((n, i) => n ?? images.shape[i + 2] ?? 1);
    return adaptiveAvgPool2dOp([images], {
      outputSize: pairOf(op, 'outputSize', sizes as [number, number], 1),
    });
  });
}
