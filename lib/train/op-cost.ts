/** What an op of the device read and wrote. */
export interface OpShapes {
  /** Shapes of the first four inputs; undefined for a number or an absent one. */
  inputs: readonly (readonly number[] | undefined)[];
  /** Shape of the first output that was computed. */
  output: readonly number[] | undefined;
}

const count = (shape: readonly number[] | undefined) => (shape ?? []).reduce((a, b) => a * b, 1);

/** An operation for each element of the output. */
const perOutput =
  (flops: number) =>
  ({ output }: OpShapes) =>
    flops * count(output);

/** An operation for each element of the first input. */
const perInput =
  (flops: number) =>
  ({ inputs }: OpShapes) =>
    flops * count(inputs[0]);

/** Two for each multiply-add: every element of `field` [N, Co, ...] meets the weight [Co, Ci / groups, ...] of its channel. */
const convolution = (field: readonly number[] | undefined, weight: readonly number[] | undefined) =>
  2 * count(field) * (count(weight) / (weight?.[0] ?? 1));

const forwardConvolution = ({ inputs, output }: OpShapes) => convolution(output, inputs[1]);
const inputGradient = ({ inputs }: OpShapes) => convolution(inputs[0], inputs[1]);
const weightGradient = ({ inputs, output }: OpShapes) => convolution(inputs[0], output);

/**
 * Floating-point operations of an op, counted from its shapes: a multiply-add is two, an elementwise function
 * one for each element (as is usual; exp costs more), a solve by forward and back substitution with stored
 * factors five for each unknown and direction. An op that is not here moves data, or is not counted.
 */
const FLOPS: Record<string, (shapes: OpShapes) => number> = {
  ...Object.fromEntries(
    [
      ...[
        'add',
        'sub',
        'mul',
        'div',
        'pow',
        'maximum',
        'minimum',
        'neg',
        'abs',
        'exp',
        'log',
        'log1p',
      ],
      ...[
        'sqrt',
        'sin',
        'cos',
        'tanh',
        'sigmoid',
        'relu',
        'leaky_relu',
        'elu',
        'gelu',
        'silu',
        'softplus',
      ],
      ...['clamp', 'relu_vjp', 'tanh_vjp', 'sigmoid_vjp', 'gelu_vjp', 'silu_vjp', 'elu_vjp'],
      ...['leaky_relu_vjp', 'clamp_vjp', 'eq', 'ne', 'lt', 'le', 'gt', 'ge'],
    ].map((name) => [name, perOutput(1)]),
  ),
  sum: perInput(1),
  mean: perInput(1),
  max: perInput(1),
  min: perInput(1),
  argmax: perInput(1),
  argmin: perInput(1),
  avg_pool2d: perInput(1),
  max_pool2d: perInput(1),
  adaptive_avg_pool2d: perInput(1),
  normalize_bytes: perOutput(3),
  softmax: perOutput(4),
  log_softmax: perOutput(4),
  matmul: ({ inputs, output }) => 2 * count(output) * (inputs[0]?.at(-1) ?? 1),
  linear: ({ inputs, output }) => 2 * count(output) * (inputs[0]?.at(-1) ?? 1),
  depthwise_conv2d_vjp: ({ inputs }) => 2 * convolution(inputs[0], inputs[2]),
  ...Object.fromEntries(
    ['conv2d', 'conv3d'].flatMap((name) => [
      [name, forwardConvolution],
      [`${name}_input_vjp`, inputGradient],
      [`${name}_weight_vjp`, weightGradient],
    ]),
  ),
  batch_norm: perOutput(6),
  layer_norm: perOutput(6),
  group_norm: perOutput(6),
  batch_norm_vjp: perInput(11),
  layer_norm_vjp: perInput(11),
  group_norm_vjp: perInput(11),
  adam_step: perInput(12),
  sgd_step: perInput(4),
  tridiagonal_solve: perOutput(8),
  implicit_diffusion_1d: perOutput(5),
  implicit_diffusion_2d: perOutput(10),
  implicit_diffusion_1d_vjp: perInput(7),
  implicit_diffusion_2d_vjp: perInput(14),
};

/** Operations of an op; undefined where they are not counted. */
export function flopsOf(op: string, shapes: OpShapes): number | undefined {
  return FLOPS[op]?.(shapes);
}
