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
}
interface InputShape {
  inputShape: readonly number[];
}

function poolParams(
  op: string,
  kernelSize: Size2d,
  stride: Size2d | null,
  padding: Size2d,
): PoolParams {
  const size = pairOf(op, 'kernelSize', kernelSize, 1);
  return {
    kernelSize: size,
    stride: stride === null ? size : pairOf(op, 'stride', stride, 1),
    padding: pairOf(op, 'padding', padding, 0),
  };
}

export interface MaxPool2dOptions {
  /** Default: kernelSize. */
  stride?: Size2d | null;
  /** Rows and columns of -Infinity on each side, at most half of kernelSize. Default 0. */
  padding?: Size2d;
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
 * - `x` [N, C, H, W]. Returns [N, C, OH, OW], OH = floor((H + 2 padding - kernelSize) / stride) + 1.
 * - The gradient goes to the first of equal values.
 * - Errors: FLUXION_INVALID_ARGUMENT for padding above half of kernelSize; FLUXION_SHAPE_MISMATCH where no
 *   window fits.
 */
export function maxPool2d(x: Tensor, kernelSize: Size2d, options?: MaxPool2dOptions): Tensor {
  const op = 'maxPool2d';
  const input = floating(op, x);
  const { stride, padding } = withDefaults<Required<MaxPool2dOptions>>(op, options, {
    stride: null,
    padding: 0,
  });
  const withIndices = input.requiresGrad && gradEnabled();
  const [y, indices] = maxPool2dOp(
    [input],
    poolParams(op, kernelSize, stride, padding),
    withIndices ? 3 : 1,
  );
  indices?.dispose(); // what the tape has saved is its own
  return y!;
}

interface AvgPoolParams extends PoolParams {
  countIncludePad: boolean;
}

export interface AvgPool2dOptions {
  /** Default: kernelSize. */
  stride?: Size2d | null;
  /** Rows and columns of zeros on each side, at most half of kernelSize. Default 0. */
  padding?: Size2d;
  /** Whether the padding counts in the mean. Default true. */
  countIncludePad?: boolean;
}

const avgPool2dVjp: OpFunction<AvgPoolParams & InputShape> = defineOp<AvgPoolParams & InputShape>(
  'avg_pool2d_vjp',
  {
    vjp: ({ g: h, params: { kernelSize, stride, padding, countIncludePad } }) => [
      avgPool2dOp([h], { kernelSize, stride, padding, countIncludePad }),
    ],
  },
);
const avgPool2dOp: OpFunction<AvgPoolParams> = defineOp<AvgPoolParams>('avg_pool2d', {
  vjp: ({ g, shape, params }) => [avgPool2dVjp([g], { ...params, inputShape: shape(0) })],
});

/** The mean of each window; shapes and errors as {@link maxPool2d}. Differentiable. */
export function avgPool2d(x: Tensor, kernelSize: Size2d, options?: AvgPool2dOptions): Tensor {
  const op = 'avgPool2d';
  const { stride, padding, countIncludePad } = withDefaults<Required<AvgPool2dOptions>>(
    op,
    options,
    {
      stride: null,
      padding: 0,
      countIncludePad: true,
    },
  );
  return avgPool2dOp([floating(op, x)], {
    ...poolParams(op, kernelSize, stride, padding),
    countIncludePad,
  });
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
 * `x` [N, C, H, W]; returns [N, C, OH, OW]. Differentiable.
 */
export function adaptiveAvgPool2d(x: Tensor, outputSize: Size2d): Tensor {
  const op = 'adaptiveAvgPool2d';
  return adaptiveAvgPool2dOp([floating(op, x)], {
    outputSize: pairOf(op, 'outputSize', outputSize, 1),
  });
}
