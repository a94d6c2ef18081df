import { FluxionError, requireArgument, show } from '../errors';
import type { Tensor } from '../tensor/tensor';
import { reshapeOp, sumOp } from './broadcast';
import { type OpFunction, type Operand, defineOp, defineOpWithOutputs } from './define';
import { add } from './elementwise';
import {
  type EpilogueActivation,
  type EpilogueOptions,
  epilogueOf,
  throughActivation,
  withActivation,
} from './linalg-epilogue';
import { floatingPair } from './linalg-matmul';
import { pad } from './shape-pad';

// What the convolutions of one, two and three dimensions share. The ops are those of images and volumes; a
// line is an image of height 1, by views.

export type Padding<Size> = Size | 'same' | 'valid';

/** Options of the convolutions, apart from what is done to the sums. */
interface Geometry {
  stride: number | readonly number[];
  padding: number | readonly number[] | 'same' | 'valid';
  dilation: number | readonly number[];
  groups: number;
}

/** @internal Parameters of the ops: one number for each axis. */
export interface ConvParams {
  stride: readonly number[];
  padding: readonly number[];
  dilation: readonly number[];
  groups: number;
}
type WithInput = ConvParams & { inputShape: readonly number[] };
type WithWeight = ConvParams & { weightShape: readonly number[] };

const convParams = ({ stride, padding, dilation, groups }: ConvParams): ConvParams => ({
  stride,
  padding,
  dilation,
  groups,
});

/** The map and its two adjoints. */
interface ConvolutionOps {
  /** x, weight, bias, residual */
  forward: OpFunction<ConvParams & { activation: EpilogueActivation }>;
  /** g, weight, bias of the result or null */
  inputVjp: OpFunction<WithInput>;
}

/** Whether each kernel sees one channel; as in native/ops/convolution.h. */
function isDepthwise(weight: readonly number[], groups: number): boolean {
  const [outputs, inputs] = weight as [number, number];
  return weight.length === 4 && inputs === 1 && groups > 1 && outputs > 0 && outputs <= 4 * groups;
}

// The three are the partial maps of one trilinear form <g, conv(x, weight)>: each one's adjoints are the others.
function defineConvolution(id: 'conv2d' | 'conv3d'): ConvolutionOps {
  const overPixels = id === 'conv2d' ? [0, 2, 3] : [0, 2, 3, 4];
  const forBias = (g: Tensor) => sumOp([g], { dims: overPixels, keepdim: false });

  const inputVjp: OpFunction<WithInput> = defineOp<WithInput>(`${id}_input_vjp`, {
    optionalFrom: 2,
    saveInputs: [0, 1],
    vjp: ({ g: h, needs, input, shape, params }) => [
      needs(0) ? correlate(h, input(1), params) : null,
      needs(1) ? weightVjp([input(0), h], { ...convParams(params), weightShape: shape(1) }) : null,
      needs(2) ? forBias(h) : null,
    ],
  });
  const weightVjp: OpFunction<WithWeight> = defineOp<WithWeight>(`${id}_weight_vjp`, {
    saveInputs: [0, 1],
    vjp: ({ g: h, needs, input, shape, params }) => [
      needs(0) ? correlate(input(1), h, params) : null,
      needs(1)
        ? inputVjp([input(0), h, null], { ...convParams(params), inputShape: shape(1) })
        : null,
    ],
  });

  // Both gradients of a depthwise convolution, which is bound by memory, from one pass over g.
  const bothVjp =
    id === 'conv2d' &&
    defineOpWithOutputs<ConvParams>('depthwise_conv2d_vjp', {
      saveInputs: [0, 1, 2],
      differentiableOutputs: [0, 1],
      // (gx, gw) = (conv^T(g, w), g * x) with cotangents (h, k): <h, conv^T(g, w)> + <k, g * x>
      vjp: ({ cotangents: [h, k], needs, input, shape, params }) => {
        const [g, x, w] = [input(0), input(1), input(2)];
        const ofG = [h && correlate(h, w, params), k && correlate(x, k, params)];
        return [
          needs(0) ? ofG.reduce((a, b) => (a && b ? add(a, b) : (a ?? b)))! : null,
          needs(1) && k ? inputVjp([g, k, null], { ...params, inputShape: shape(1) }) : null,
          needs(2) && h ? weightVjp([g, h], { ...params, weightShape: shape(2) }) : null,
        ];
      },
    });

  const forward = defineOp<ConvParams & { activation: EpilogueActivation }>(id, {
    optionalFrom: 2,
    saveInputs: (_, needs) => [...(needs(1) ? [0] : []), ...(needs(0) ? [1] : [])],
    saveOutputs: ({ activation }) => (activation === 'none' ? [] : [0]),
    vjp: ({ g: ofResult, needs, input, output, shape, params: all }) => {
      const g = throughActivation(all.activation, ofResult, () => output(0));
      const params = convParams(all);
      const rest = [needs(2) ? forBias(g) : null, needs(3) ? g : null];
      if (bothVjp && needs(0) && needs(1) && isDepthwise(shape(1), params.groups)) {
        return [...bothVjp([g, input(0), input(1)], params), ...rest];
      }
      return [
        needs(0) ? inputVjp([g, input(1), null], { ...params, inputShape: shape(0) }) : null,
        needs(1) ? weightVjp([g, input(0)], { ...params, weightShape: shape(1) }) : null,
        ...rest,
      ];
    },
  });

  /** The forward map without an epilogue, as the adjoint of the adjoints. */
  const correlate = (x: Tensor, weight: Tensor, params: ConvParams): Tensor =>
    forward([x, weight, null, null], { ...convParams(params), activation: 'none' });

  return { forward, inputVjp };
}

const IMAGES = defineConvolution('conv2d');
const VOLUMES = defineConvolution('conv3d');

// --- shapes

/** A size for each of `axes` axes; one number stands for all. */
function sizesOf(
  op: string,
  argument: string,
  size: number | readonly number[],
  axes: number,
  minimum: number,
): number[] {
  const sizes: readonly number[] =
    typeof size === 'number' ? Array.from({ length: axes }, () => size) : size;
  const valid = (value: unknown): boolean =>
    Array.isArray(value) &&
    value.length === axes &&
    value.every((n) => Number.isInteger(n) && n >= minimum);
  requireArgument(
    valid(sizes),
    op,
    () =>
      `${argument} must be an integer >= ${minimum}${axes > 1 ? ` or ${axes} of them` : ''}, got ${show(size)}`,
  );
  return [...sizes];
}

function refuseShape(op: string, message: string): never {
  throw new FluxionError('FLUXION_SHAPE_MISMATCH', op, message);
}

function checkWeight(op: string, axes: number, channels: number, weight: Tensor, groups: number) {
  requireArgument(
    Number.isInteger(groups) && groups >= 1,
    op,
    () => `groups must be an integer >= 1, got ${show(groups)}`,
  );
  const { shape } = weight;
  if (
    shape.length !== axes + 2 ||
    shape[1]! * groups !== channels ||
    shape[0]! % groups !== 0 ||
    shape.slice(2).some((n) => n < 1)
  ) {
    refuseShape(
      op,
      `weight must have shape [outputs, ${channels} / groups, ${axes} kernel sizes] with outputs divisible by groups = ${groups}, got ${show([...shape])}`,
    );
  }
}

function checkBatch(op: string, axes: number, x: Tensor) {
  if (x.ndim !== axes + 2 && x.ndim !== axes + 1) {
    refuseShape(
      op,
      `x must have ${axes + 2} dimensions, or ${axes + 1} without a batch, got shape ${show([...x.shape])}`,
    );
  }
}

const reshape = (t: Tensor, shape: readonly number[]) => reshapeOp([t], { shape });

/** A tensor of the line ops as one of the image ops. */
const asImage = (t: Tensor): Tensor =>
  reshape(t, [...t.shape.slice(0, -1), 1, t.shape[t.ndim - 1]!]);
const asLine = (t: Tensor): Tensor => reshape(t, [...t.shape.slice(0, -2), t.shape[t.ndim - 1]!]);

function imageParams(axes: number, params: ConvParams): ConvParams {
  if (axes > 1) return params;
  const { stride, padding, dilation, groups } = params;
  return {
    stride: [1, ...stride],
    padding: [0, ...padding],
    dilation: [1, ...dilation],
    groups,
  };
}

/** Zeros behind the last position of each axis, where padding 'same' is one longer there. */
function padEnds(x: Tensor, ends: readonly number[]): Tensor {
  if (ends.every((n) => n === 0)) return x;
  return pad(
    x,
    [...ends].reverse().flatMap((n) => [0, n]),
  );
}

/** Zeros on both sides, and those that only the end needs, of padding for an axis. */
function paddingOf(
  op: string,
  given: Geometry,
  axes: number,
  kernel: readonly number[],
  stride: readonly number[],
  dilation: readonly number[],
): { both: number[]; ends: number[] } {
  const none = kernel.map(() => 0);
  if (given.padding === 'valid') return { both: none, ends: none };
  if (given.padding !== 'same') {
    requireArgument(
      typeof given.padding !== 'string',
      op,
      () => `padding must be sizes, 'same' or 'valid', got ${show(given.padding)}`,
    );
    return { both: sizesOf(op, 'padding', given.padding, axes, 0), ends: none };
  }
  requireArgument(
    stride.every((s) => s === 1),
    op,
    () => `padding 'same' must go with stride 1, got stride ${show(given.stride)}`,
  );
  const total = kernel.map((k, i) => (k - 1) * dilation[i]!);
  return { both: total.map((n) => Math.floor(n / 2)), ends: total.map((n) => n % 2) };
}

// --- the public functions

/** @internal conv1d, conv2d and conv3d: `axes` spatial dimensions. */
export function convolve(
  op: string,
  axes: 1 | 2 | 3,
  x: Tensor,
  weight: Tensor,
  given: Geometry & Required<EpilogueOptions>,
): Tensor {
  const [input, w] = floatingPair(op, x, weight);
  checkBatch(op, axes, input);
  const batched = input.ndim === axes + 2;
  const channels = input.shape[batched ? 1 : 0]!;
  checkWeight(op, axes, channels, w, given.groups);
  const stride = sizesOf(op, 'stride', given.stride, axes, 1);
  const dilation = sizesOf(op, 'dilation', given.dilation, axes, 1);
  const kernel = w.shape.slice(2);
  const { both, ends } = paddingOf(op, given, axes, kernel, stride, dilation);
  const { bias, residual, activation } = epilogueOf(op, input, given);

  const sizes = input.shape.slice(-axes);
  const result = kernel.map((k, i) => {
    const free = sizes[i]! + 2 * both[i]! + ends[i]! - dilation[i]! * (k - 1) - 1;
    return free < 0 ? 0 : Math.floor(free / stride[i]!) + 1;
  });
  if (result.some((n) => n < 1)) {
    refuseShape(
      op,
      `x must not be smaller than the kernel after padding, got x ${show([...input.shape])} and weight ${show([...w.shape])}`,
    );
  }
  if (bias && (bias.ndim !== 1 || bias.shape[0] !== w.shape[0])) {
    refuseShape(op, `bias must have shape [${w.shape[0]}], got ${show([...bias.shape])}`);
  }
  const shape = [...(batched ? [input.shape[0]!] : []), w.shape[0]!, ...result];
  if (residual && show([...residual.shape]) !== show(shape)) {
    refuseShape(op, `residual must have shape ${show(shape)}, got ${show([...residual.shape])}`);
  }

  const view = (t: Tensor) => {
    const whole = batched ? t : reshape(t, [1, ...t.shape]);
    return axes === 1 ? asImage(whole) : whole;
  };
  const inputs: Operand[] = [
    view(padEnds(input, ends)),
    axes === 1 ? asImage(w) : w,
    bias,
    residual && view(residual),
  ];
  const params = imageParams(axes, { stride, padding: both, dilation, groups: given.groups });
  const { forward } = axes === 3 ? VOLUMES : IMAGES;
  const y = withActivation(inputs, activation, (a) =>
    forward(inputs, { ...params, activation: a }),
  );
  const line = axes === 1 ? asLine(y) : y;
  return batched ? line : reshape(line, line.shape.slice(1));
}

/** @internal Options of the transposed convolutions. */
export interface TransposedGeometry {
  stride: number | readonly number[];
  padding: number | readonly number[];
  outputPadding: number | readonly number[];
  dilation: number | readonly number[];
  groups: number;
  bias: Tensor | null;
}

/** @internal convTranspose1d, 2d and 3d: the gradient of a convolution in its input, as a map of its own. */
export function convolveTransposed(
  op: string,
  axes: 1 | 2 | 3,
  x: Tensor,
  weight: Tensor,
  given: TransposedGeometry,
): Tensor {
  const [input, w] = floatingPair(op, x, weight);
  checkBatch(op, axes, input);
  const batched = input.ndim === axes + 2;
  checkTransposedWeight(op, axes, input.shape[batched ? 1 : 0]!, w, given.groups);
  const stride = sizesOf(op, 'stride', given.stride, axes, 1);
  const dilation = sizesOf(op, 'dilation', given.dilation, axes, 1);
  const padding = sizesOf(op, 'padding', given.padding, axes, 0);
  const extra = sizesOf(op, 'outputPadding', given.outputPadding, axes, 0);
  requireArgument(
    extra.every((n, i) => n < Math.max(stride[i]!, dilation[i]!)),
    op,
    () => `outputPadding must be smaller than stride or dilation, got ${show(given.outputPadding)}`,
  );
  const { bias } = epilogueOf(op, input, { ...given, residual: null, activation: 'none' });
  const outputs = w.shape[1]! * given.groups;
  if (bias && (bias.ndim !== 1 || bias.shape[0] !== outputs)) {
    refuseShape(op, `bias must have shape [${outputs}], got ${show([...bias.shape])}`);
  }
  const sizes = input.shape.slice(-axes);
  const result = sizes.map(
    (n, i) =>
      (n - 1) * stride[i]! - 2 * padding[i]! + dilation[i]! * (w.shape[i + 2]! - 1) + extra[i]! + 1,
  );
  if (sizes.some((n) => n < 1) || result.some((n) => n < 1)) {
    refuseShape(
      op,
      `x must give a result of at least one element, got x ${show([...input.shape])}, which gives ${show(result)}`,
    );
  }
  // A result of a stride more is that of an input with one zero more at its end.
  const longer = padEnds(
    input,
    extra.map((n, i) => Math.floor(n / stride[i]!)),
  );
  const whole = batched ? longer : reshape(longer, [1, ...longer.shape]);
  const line = axes === 1;
  const { inputVjp } = axes === 3 ? VOLUMES : IMAGES;
  const y = inputVjp([line ? asImage(whole) : whole, line ? asImage(w) : w, bias], {
    ...imageParams(axes, { stride, padding, dilation, groups: given.groups }),
    inputShape: [whole.shape[0]!, outputs, ...(line ? [1] : []), ...result],
  });
  const lines = line ? asLine(y) : y;
  return batched ? lines : reshape(lines, lines.shape.slice(1));
}

function checkTransposedWeight(
  op: string,
  axes: number,
  channels: number,
  weight: Tensor,
  groups: number,
) {
  requireArgument(
    Number.isInteger(groups) && groups >= 1,
    op,
    () => `groups must be an integer >= 1, got ${show(groups)}`,
  );
  const { shape } = weight;
  if (
    shape.length !== axes + 2 ||
    shape[0] !== channels ||
    channels % groups !== 0 ||
    shape.slice(2).some((n) => n < 1)
  ) {
    refuseShape(
      op,
      `weight must have shape [${channels}, outputs / groups, ${axes} kernel sizes] with ${channels} divisible by groups = ${groups}, got ${show([...shape])}`,
    );
  }
}
