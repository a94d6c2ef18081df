import { type Conv2dOptions, conv2d } from '../../lib';
import { type Bench, type Case, at, build, sizeOf, show, windowOf, SUMS } from './case';

function convReference(options: Conv2dOptions): Case['reference'] {
  const [sh, sw] = windowOf(options.stride, [1, 1]);
  const [ph, pw] = windowOf(options.padding, [0, 0]);
  const [dh, dw] = windowOf(options.dilation, [1, 1]);
  return (x, weight, bias) => {
    const [n, , h, w] = x.shape as [number, number, number, number];
    const [outputs, channels, kh, kw] = weight.shape as [number, number, number, number];
    const oh = Math.floor((h + 2 * ph - dh * (kh - 1) - 1) / sh) + 1;
    const ow = Math.floor((w + 2 * pw - dw * (kw - 1) - 1) / sw) + 1;
    const perGroup = outputs / (options.groups ?? 1);
    return build([n, outputs, oh, ow], ([image, o, i, j]) => {
      let sum = bias ? bias.data[o!]! : 0;
      for (let c = 0; c < channels; c++) {
        for (let a = 0; a < kh; a++) {
          for (let b = 0; b < kw; b++) {
            const [r, s] = [i! * sh + a * dh - ph, j! * sw + b * dw - pw];
            if (r < 0 || r >= h || s < 0 || s >= w) continue;
            const channel = Math.floor(o! / perGroup) * channels + c;
            sum += at(x, [image!, channel, r, s]) * at(weight, [o!, c, a, b]);
          }
        }
      }
      return sum;
    });
  };
}

/**
 * Winograd's algorithm, which float32 kernels of 3x3 take from 64 pairs of channels on, loses about one
 * digit more than the sum itself; both are relative to the largest sums, of about 60 here.
 */
const WINOGRAD = { float32: 1e-4, float64: SUMS.float64 };

const CONV_OPS = ['conv2d', 'conv2d_input_vjp', 'conv2d_weight_vjp', 'depthwise_conv2d_vjp'];

function convCase(x: number[], weight: number[], options: Conv2dOptions, bench?: Bench[]): Case[] {
  const [outputs, channels, height, width] = weight as [number, number, number, number];
  const shared = {
    ops: CONV_OPS,
    tolerance: height === 3 && width === 3 && outputs * channels >= 64 ? WINOGRAD : SUMS,
    reference: convReference(options),
  };
  const label = `conv2d ${show(x)} ${show(weight)} ${show(options)}`;
  return [
    {
      ...shared,
      name: label,
      inputs: [{ shape: x }, { shape: weight }],
      run: (input, w) => conv2d(input, w, options),
      linearIn: [0, 1],
      bench,
    },
    {
      ...shared,
      name: `${label} with bias`,
      inputs: [{ shape: x }, { shape: weight }, { shape: [weight[0]!] }],
      run: (input, w, bias) => conv2d(input, w, { ...options, bias }),
    },
  ];
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
];

export const CONVOLUTION: Case[] = [...CONV];
