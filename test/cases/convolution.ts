import {
  type Conv1dOptions,
  type Conv2dOptions,
  type Conv3dOptions,
  type ConvTranspose1dOptions,
  type ConvTranspose2dOptions,
  type ConvTranspose3dOptions,
  type Tensor,
  conv1d,
  conv2d,
  conv3d,
  convTranspose1d,
  convTranspose2d,
  convTranspose3d,
} from '../../lib';
import {
  type Bench,
  type Case,
  type Values,
  at,
  build,
  indicesOf,
  show,
  sizeOf,
  SUMS,
} from './case';

// Naive references for any number of axes, by scattering: y[o, (i + p - a d) / s] += weight[o, c, a] x[c, i].

interface Geometry {
  stride?: number | readonly number[];
  padding?: number | readonly number[] | string;
  outputPadding?: number | readonly number[];
  dilation?: number | readonly number[];
  groups?: number;
}

function perAxis(
  size: number | readonly number[] | string | undefined,
  axes: number,
  none: number,
) {
  if (typeof size === 'object') return [...size];
  return Array.from({ length: axes }, () => (typeof size === 'number' ? size : none));
}

/** Calls f for every tap that joins an element of the larger side with one of the smaller. */
function eachProduct(
  large: readonly number[],
  small: readonly number[],
  kernel: readonly number[],
  { stride, padding, dilation }: Geometry,
  f: (large: number[], small: readonly number[], tap: readonly number[]) => void,
): void {
  const axes = kernel.length;
  const [s, d] = [perAxis(stride, axes, 1), perAxis(dilation, axes, 1)];
  const p =
    padding === 'same'
      ? kernel.map((k, i) => Math.floor((d[i]! * (k - 1)) / 2))
      : perAxis(padding, axes, 0);
  for (const tap of indicesOf(kernel)) {
    for (const place of indicesOf(small)) {
      const position = place.map((i, axis) => i * s[axis]! + tap[axis]! * d[axis]! - p[axis]!);
      if (position.every((i, axis) => i >= 0 && i < large[axis]!)) f(position, place, tap);
    }
  }
}

function withBias(y: Values, bias?: Values): Values {
  const plane = sizeOf(y.shape.slice(2));
  if (bias)
    y.data.forEach((_, i) => (y.data[i]! += bias.data[Math.floor(i / plane) % y.shape[1]!]!));
  return y;
}

function offset(shape: readonly number[], index: readonly number[]): number {
  return shape.reduce((sum, n, i) => sum * n + index[i]!, 0);
}

const convReference =
  (options: Geometry): Case['reference'] =>
  (x, weight, bias) => {
    const [kernel, sizes] = [weight.shape.slice(2), x.shape.slice(2)];
    const axes = kernel.length;
    const [s, d] = [perAxis(options.stride, axes, 1), perAxis(options.dilation, axes, 1)];
    const p = perAxis(options.padding, axes, 0);
    const out = sizes.map((n, i) =>
      options.padding === 'same'
        ? n
        : Math.floor((n + 2 * p[i]! - d[i]! * (kernel[i]! - 1) - 1) / s[i]!) + 1,
    );
    const y = build([x.shape[0]!, weight.shape[0]!, ...out], () => 0);
    const perGroup = weight.shape[0]! / (options.groups ?? 1);
    eachProduct(sizes, out, kernel, options, (position, place, tap) => {
      for (let n = 0; n < x.shape[0]!; n++) {
        for (let o = 0; o < weight.shape[0]!; o++) {
          for (let c = 0; c < weight.shape[1]!; c++) {
            const channel = Math.floor(o / perGroup) * weight.shape[1]! + c;
            y.data[offset(y.shape, [n, o, ...place])]! +=
              at(x, [n, channel, ...position]) * at(weight, [o, c, ...tap]);
          }
        }
      }
    });
    return withBias(y, bias);
  };

const transposedReference =
  (options: Geometry): Case['reference'] =>
  (x, weight, bias) => {
    const [kernel, sizes] = [weight.shape.slice(2), x.shape.slice(2)];
    const axes = kernel.length;
    const [s, d] = [perAxis(options.stride, axes, 1), perAxis(options.dilation, axes, 1)];
    const [p, extra] = [perAxis(options.padding, axes, 0), perAxis(options.outputPadding, axes, 0)];
    const out = sizes.map(
      (n, i) => (n - 1) * s[i]! - 2 * p[i]! + d[i]! * (kernel[i]! - 1) + extra[i]! + 1,
    );
    const groups = options.groups ?? 1;
    const [perGroup, inputs] = [weight.shape[1]!, weight.shape[0]! / groups];
    const y = build([x.shape[0]!, perGroup * groups, ...out], () => 0);
    eachProduct(out, sizes, kernel, options, (position, place, tap) => {
      for (let n = 0; n < x.shape[0]!; n++) {
        for (let c = 0; c < weight.shape[0]!; c++) {
          for (let o = 0; o < perGroup; o++) {
            const output = Math.floor(c / inputs) * perGroup + o;
            y.data[offset(y.shape, [n, output, ...position])]! +=
              at(x, [n, c, ...place]) * at(weight, [c, o, ...tap]);
          }
        }
      }
    });
    return withBias(y, bias);
  };

/**
 * Winograd's algorithm, which float32 kernels of 3x3 take from 64 pairs of channels on, loses about one
 * digit more than the sum itself; both are relative to the largest sums, of about 60 here.
 */
const WINOGRAD = { float32: 1e-4, float64: SUMS.float64 };

const IMAGE_OPS = ['conv2d', 'conv2d_input_vjp', 'conv2d_weight_vjp', 'depthwise_conv2d_vjp'];
const VOLUME_OPS = ['conv3d', 'conv3d_input_vjp', 'conv3d_weight_vjp'];

type Function<Options> = (x: Tensor, weight: Tensor, options?: Options) => Tensor;

function casesOf<Options extends Geometry & { bias?: Tensor | null }>(
  name: string,
  f: Function<Options>,
  reference: Case['reference'],
  [x, weight]: [number[], number[]],
  options: Options,
  outputs: number,
  bench?: Bench[],
): Case[] {
  const label = `${name} ${show(x)} ${show(weight)} ${show(options)}`;
  const winograd =
    sizeOf(weight) >= 64 * 9 && weight.length === 4 && show(weight.slice(2)) === '[3,3]';
  const ops = x.length === 5 ? VOLUME_OPS : IMAGE_OPS;
  const shared = { ops, tolerance: winograd ? WINOGRAD : SUMS, reference };
  return [
    {
      ...shared,
      name: label,
      inputs: [{ shape: x }, { shape: weight }],
      run: (input, w) => f(input, w, options),
      linearIn: [0, 1],
      bench,
    },
    {
      ...shared,
      name: `${label} with bias`,
      inputs: [{ shape: x }, { shape: weight }, { shape: [outputs] }],
      run: (input, w, bias) => f(input, w, { ...options, bias }),
    },
  ];
}

function convCase(x: number[], weight: number[], options: Conv2dOptions, bench?: Bench[]): Case[] {
  const reference = convReference(options);
  return casesOf('conv2d', conv2d, reference, [x, weight], options, weight[0]!, bench);
}

const convBench = (x: number[], weight: number[]): Bench => ({
  shapes: [x, weight],
  elements: sizeOf(x) + sizeOf(weight) + (sizeOf(x) / x[1]!) * weight[0]!,
  flops: (2 * sizeOf(x) * sizeOf(weight)) / x[1]!,
});

const CONV: Case[] = [
  ...convCase([2, 3, 9, 11], [5, 3, 3, 3], { padding: 1 }, [
    convBench([32, 64, 64, 64], [64, 64, 3, 3]),
    convBench([32, 128, 32, 32], [128, 128, 3, 3]),
  ]),
  ...convCase([1, 18, 5, 13], [17, 18, 1, 1], {}),
  ...convCase([2, 5, 3, 3], [7, 5, 1, 1], {}),
  ...convCase([1, 9, 7, 35], [10, 9, 3, 3], { padding: 1 }),
  ...convCase([2, 4, 12, 17], [6, 2, 3, 2], {
    stride: [2, 3],
    padding: [1, 2],
    dilation: [2, 1],
    groups: 2,
  }),
  ...convCase([1, 3, 13, 16], [4, 3, 3, 5], { stride: 2, padding: [1, 2], dilation: 2 }),
  ...convCase([1, 2, 10, 10], [3, 2, 2, 2], { stride: [4, 3] }),
  ...convCase([1, 2, 5, 4], [3, 2, 3, 3], { padding: [4, 5] }),
  ...convCase([2, 5, 9, 33], [5, 1, 3, 3], { padding: 1, groups: 5 }),
  ...convCase([1, 5, 11, 19], [5, 1, 3, 5], {
    stride: [3, 2],
    padding: [1, 3],
    dilation: [2, 3],
    groups: 5,
  }),
  ...convCase([1, 3, 8, 9], [6, 1, 3, 3], { stride: [2, 1], padding: 1, groups: 3 }),
  // Winograd: several images in a block of tiles, planes that no tile divides, every padding, groups.
  ...convCase([2, 8, 7, 7], [17, 8, 3, 3], { padding: 1 }, [
    convBench([64, 32, 28, 28], [32, 32, 3, 3]),
    convBench([64, 64, 14, 14], [64, 64, 3, 3]),
  ]),
  ...convCase([1, 16, 3, 31], [4, 16, 3, 3], { padding: [2, 0] }),
  ...convCase([2, 16, 6, 9], [16, 8, 3, 3], { padding: [0, 2], groups: 2 }),
  // several planes in a block, stride and dilation with a common factor, phases without taps
  ...convCase([5, 3, 3, 2], [4, 3, 3, 3], { padding: 1 }),
  ...convCase([3, 2, 1, 17], [3, 2, 1, 4], { padding: [0, 2], dilation: [1, 2], stride: [1, 2] }),
  ...convCase([1, 2, 15, 15], [9, 2, 5, 5], { padding: 2 }),
  ...convCase([1, 2, 7, 31], [2, 2, 2, 4], { padding: 'same', dilation: 2 }),
  // tiles of a GPU: more than 64 and 32 outputs, a plane of many pixels with a single tap, a plane of whole vectors
  ...convCase([1, 3, 8, 16], [68, 3, 3, 3], { padding: 1 }),
  ...convCase([2, 2, 5, 7], [40, 2, 2, 3], { padding: 1, stride: 2 }),
  ...convCase([2, 6, 16, 18], [10, 3, 1, 1], { groups: 2 }),
  // the matrix unit of a CPU: whole blocks, and rows, channels and pixels that no block divides
  ...convCase([4, 64, 8, 16], [32, 64, 1, 1], {}),
  ...convCase([5, 59, 9, 11], [51, 59, 1, 1], {}),
  ...convCase([3, 60, 16, 18], [62, 30, 1, 1], { groups: 2 }),
  // depthwise: dense kernels, several outputs a channel, strides
  ...convCase([1, 3, 19, 33], [3, 1, 5, 5], { padding: 2, groups: 3 }),
  ...convCase([1, 2, 9, 40], [2, 1, 7, 7], { padding: 3, groups: 2 }),
  ...convCase([2, 2, 5, 36], [4, 1, 3, 3], { padding: 1, groups: 2, stride: [1, 2] }),
  ...convCase([1, 2, 7, 20], [2, 1, 3, 3], { padding: 2, groups: 2, dilation: 2 }),
  ...convCase([1, 2, 35, 68], [2, 1, 3, 3], { padding: [0, 2], groups: 2 }),
  ...convCase([9, 3, 4, 5], [3, 1, 5, 5], { padding: [2, 4], groups: 3 }),
  // both gradients at once: rows wider than a table of strips, other paddings, an even number of rows
  ...convCase([1, 2, 3, 1043], [2, 1, 3, 3], { padding: 1, groups: 2 }),
  ...convCase([2, 3, 4, 18], [3, 1, 3, 3], { padding: [2, 0], groups: 3 }),
];

const LINES: Case[] = (
  [
    [[2, 3, 31], [4, 3, 3], { padding: 1 }],
    [[1, 4, 100], [6, 2, 5], { stride: 3, padding: 2, dilation: 2, groups: 2 }],
    [[2, 2, 16], [2, 1, 4], { padding: 'same', groups: 2 }],
    [[1, 2, 1], [3, 2, 1], {}],
  ] as [number[], number[], Conv1dOptions][]
).flatMap(([x, weight, options]) =>
  casesOf('conv1d', conv1d, convReference(options as Geometry), [x, weight], options, weight[0]!),
);

const VOLUMES: Case[] = (
  [
    [[2, 2, 3, 4, 5], [3, 2, 2, 3, 3], { padding: 1 }],
    [[1, 4, 5, 3, 6], [2, 2, 3, 2, 3], { stride: [2, 1, 2], padding: [1, 1, 2], groups: 2 }],
    [
      [1, 1, 7, 2, 3],
      [2, 1, 3, 1, 2],
      { stride: [3, 1, 1], dilation: [2, 1, 1], padding: 'valid' },
    ],
    [[1, 2, 2, 2, 17], [2, 2, 2, 3, 3], { padding: 'same' }],
    [[1, 3, 1, 1, 1], [2, 3, 1, 1, 1], {}],
  ] as [number[], number[], Conv3dOptions][]
).flatMap(([x, weight, options]) =>
  casesOf('conv3d', conv3d, convReference(options as Geometry), [x, weight], options, weight[0]!),
);

function transposedCase<Options extends Geometry & { bias?: Tensor | null }>(
  name: string,
  f: Function<Options>,
  [x, weight, options]: [number[], number[], Options],
): Case[] {
  const outputs = weight[1]! * (options.groups ?? 1);
  return casesOf(name, f, transposedReference(options), [x, weight], options, outputs);
}

const TRANSPOSED: Case[] = [
  ...(
    [
      [[2, 3, 5], [3, 2, 4], { stride: 2, padding: 1, outputPadding: 1 }],
      [[1, 2, 16], [2, 1, 3], { groups: 2, dilation: 2, outputPadding: 1 }],
    ] as [number[], number[], ConvTranspose1dOptions][]
  ).flatMap((row) => transposedCase('convTranspose1d', convTranspose1d, row)),
  ...(
    [
      [[2, 3, 4, 5], [3, 4, 3, 3], { stride: 2, padding: 1, outputPadding: 1 }],
      [[1, 4, 3, 17], [4, 1, 2, 3], { stride: [3, 1], groups: 2, padding: [0, 1] }],
      [[1, 3, 5, 6], [3, 1, 3, 3], { stride: 2, groups: 3, dilation: [1, 2] }],
      [[2, 3, 4, 3], [3, 5, 1, 1], {}],
      [[1, 2, 3, 3], [2, 2, 1, 2], { stride: 3 }],
    ] as [number[], number[], ConvTranspose2dOptions][]
  ).flatMap((row) => transposedCase('convTranspose2d', convTranspose2d, row)),
  ...(
    [
      [[1, 2, 2, 3, 3], [2, 2, 3, 2, 3], { stride: 2, padding: 1, outputPadding: [1, 0, 1] }],
      [[2, 2, 2, 1, 4], [2, 1, 2, 2, 2], { groups: 2, stride: [3, 1, 2] }],
    ] as [number[], number[], ConvTranspose3dOptions][]
  ).flatMap((row) => transposedCase('convTranspose3d', convTranspose3d, row)),
];

export const CONVOLUTION: Case[] = [...CONV, ...LINES, ...VOLUMES, ...TRANSPOSED];
