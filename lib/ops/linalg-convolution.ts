import { requireArgument, show } from '../errors';
import type { Tensor } from '../tensor/tensor';
import { sumOp } from './broadcast';
import { type OpFunction, defineOp, defineOpWithOutputs, withDefaults } from './define';
import { add } from './elementwise';
import {
  type EpilogueActivation,
  type EpilogueOptions,
  epilogueOf,
  throughActivation,
  withActivation,
} from './linalg-epilogue';
import { floatingPair } from './linalg-matmul';

/** One size for both axes, or [height, width]. */
export type Size2d = number | readonly [number, number];

/** @internal [height, width] of a size, which must be an integer >= `minimum`. */
export function pairOf(
  op: string,
  argument: string,
  size: Size2d,
  minimum: number,
): [number, number] {
  const pair = typeof size === 'number' ? [size, size] : size;
  requireArgument(
    Array.isArray(pair) &&
      pair.length === 2 &&
      pair.every((n) => Number.isInteger(n) && n >= minimum),
    op,
    () => `${argument} must be an integer >= ${minimum} or two of them, got ${show(size)}`,
  );
  return [pair[0] as number, pair[1] as number];
}

interface ConvParams {
  stride: [number, number];
  padding: [number, number];
  dilation: [number, number];
  groups: number;
}

// The three are the partial maps of one trilinear form <g, conv(x, weight)>: each one's adjoints are the others.
const conv2dInputVjp: OpFunction<ConvParams & { inputShape: readonly number[] }> = defineOp<
  ConvParams & { inputShape: readonly number[] }
>('conv2d_input_vjp', {
  saveInputs: [0, 1],
  vjp: ({ g: h, needs, input, shape, params }) => [
    needs(0) ? correlate(h, input(1), params) : null,
    needs(1)
      ? conv2dWeightVjp([input(0), h], { ...convParams(params), weightShape: shape(1) })
      : null,
  ],
});
const conv2dWeightVjp: OpFunction<ConvParams & { weightShape: readonly number[] }> = defineOp<
  ConvParams & { weightShape: readonly number[] }
>('conv2d_weight_vjp', {
  saveInputs: [0, 1],
  vjp: ({ g: h, needs, input, shape, params }) => [
    needs(0) ? correlate(input(1), h, params) : null,
    needs(1)
      ? conv2dInputVjp([input(0), h], { ...convParams(params), inputShape: shape(1) })
      : null,
  ],
});
// Both gradients of a depthwise convolution, which is bound by memory, from one pass over g.
const depthwiseVjp = defineOpWithOutputs<ConvParams>('depthwise_conv2d_vjp', {
  saveInputs: [0, 1, 2],
  differentiableOutputs: [0, 1],
  // (gx, gw) = (conv^T(g, w), g * x) with cotangents (h, k): <h, conv^T(g, w)> + <k, g * x>
  vjp: ({ cotangents: [h, k], needs, input, shape, params }) => {
    const [g, x, w] = [input(0), input(1), input(2)];
    const ofG = [h && correlate(h, w, params), k && correlate(x, k, params)];
    return [
      needs(0) ? ofG.reduce((a, b) => (a && b ? add(a, b) : (a ?? b)))! : null,
      needs(1) && k ? conv2dInputVjp([g, k], { ...params, inputShape: shape(1) }) : null,
      needs(2) && h ? conv2dWeightVjp([g, h], { ...params, weightShape: shape(2) }) : null,
    ];
  },
});

/** Whether the kernels see one channel each; as in native/ops/convolution.h. */
function isDepthwise(weight: readonly number[], groups: number): boolean {
  return weight[1] === 1 && groups > 1 && weight[0]! <= 4 * groups;
}

const conv2dOp = defineOp<ConvParams & { activation: EpilogueActivation }>('conv2d', {
  saveInputs: (_, needs) => [...(needs(1) ? [0] : []), ...(needs(0) ? [1] : [])],
  saveOutputs: ({ activation }) => (activation === 'none' ? [] : [0]),
  vjp: ({ g: ofResult, needs, input, output, shape, params }) => {
    const g = throughActivation(params.activation, ofResult, () => output(0));
    const depthwise = needs(0) && needs(1) && isDepthwise(shape(1), params.groups);
    const [gx, gw] = depthwise
      ? depthwiseVjp([g, input(0), input(1)], convParams(params))
      : [null, null];
    return [
      gx ? gx : needs(0)
        ? conv2dInputVjp([g, input(1)], { ...convParams(params), inputShape: shape(0) })
        : null,
      gw ? gw : needs(1)
        ? conv2dWeightVjp([g, input(0)], { ...convParams(params), weightShape: shape(1) })
        : null,
      needs(2) ? sumOp([g], { dims: [0, 2, 3], keepdim: false }) : null,
      needs(3) ? g : null,
    ];
  },
});

/** The forward map without an epilogue, as the adjoint of the adjoints. */
const correlate = (x: Tensor, weight: Tensor, params: ConvParams): Tensor =>
  conv2dOp([x, weight, null, null], { ...convParams(params), activation: 'none' });

function convParams({ stride, padding, dilation, groups }: ConvParams): ConvParams {
  return { stride, padding, dilation, groups };
}

export interface Conv2dOptions extends EpilogueOptions {
  /** Default 1. */
  stride?: Size2d;
  /** Zeros added on each side. Default 0. */
  padding?: Size2d;
  /** Distance of neighbouring taps. Default 1. */
  dilation?: Size2d;
  /** Channels are cut into this many groups that do not mix; the number of channels: depthwise. Default 1. */
  groups?: number;
}

/**
 * 2-d convolution (cross-correlation, as in PyTorch) with zero padding:
 *
 *     y[n, o, i, j] = act(sum_{c, a, b} weight[o, c, a, b] x[n, c, i s + a d - p, j s + b d - p]
 *                         + bias[o] + residual[n, o, i, j])
 *
 * - `x` [N, C, H, W]; `weight` [O, C / groups, kh, kw]; `bias` [O]; `residual` [N, O, OH, OW].
 * - `residual` and `activation` are done in the last store of the sums: no pass over memory of their own,
 *   save for silu and gelu while gradients are recorded.
 * - Returns [N, O, OH, OW], OH = floor((H + 2 p - d (kh - 1) - 1) / s) + 1.
 * - Gradients in x, weight, bias and residual, of any order (silu and gelu: of the first).
 * - Deterministic: the same bits for any number of threads.
 * - Cost: 2 kh kw C / groups flops an output element, forward; twice that backward. Nothing is unfolded
 *   in memory.
 * - Errors: FLUXION_SHAPE_MISMATCH; FLUXION_INVALID_ARGUMENT for sizes that are not integers in range.
 */
export function conv2d(x: Tensor, weight: Tensor, options?: Conv2dOptions): Tensor {
  const op = 'conv2d';
  const given = withDefaults<Required<Conv2dOptions>>(op, options, {
    bias: null,
    residual: null,
    activation: 'none',
    stride: 1,
    padding: 0,
    dilation: 1,
    groups: 1,
  });
  const [input, w] = floatingPair(op, x, weight);
  const { bias, residual, activation } = epilogueOf(op, input, given);
  const params = {
    stride: pairOf(op, 'stride', given.stride, 1),
    padding: pairOf(op, 'padding', given.padding, 0),
    dilation: pairOf(op, 'dilation', given.dilation, 1),
    groups: given.groups,
  };
  const inputs = [input, w, bias, residual];
  return withActivation(inputs, activation, (a) => conv2dOp(inputs, { ...params, activation: a }));
}
