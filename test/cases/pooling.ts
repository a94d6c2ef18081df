import { adaptiveAvgPool2d, avgPool2d, maxPool2d } from '../../lib';
import {
  type Case,
  type Values,
  type Window,
  at,
  build,
  distinct,
  show,
  sumOf,
  windowOf,
} from './case';

interface PoolOptions {
  stride?: number | [number, number];
  padding?: number | [number, number];
  dilation?: number | [number, number];
  ceilMode?: boolean;
}

/** f of the values in each window and of how many elements of the padded input it covers. */
function pooled(
  x: Values,
  kernel: Window,
  options: PoolOptions,
  f: (values: number[], covered: number) => number,
) {
  const [n, c, h, w] = x.shape as [number, number, number, number];
  const [sh, sw] = windowOf(options.stride, kernel);
  const [ph, pw] = windowOf(options.padding, [0, 0]);
  const [dh, dw] = windowOf(options.dilation, [1, 1]);
  const size = (length: number, k: number, s: number, p: number, d: number) => {
    const last = (length + 2 * p - d * (k - 1) - 1) / s;
    const up = options.ceilMode && Math.ceil(last) * s < length + p;
    return (up ? Math.ceil(last) : Math.floor(last)) + 1;
  };
  return build(
    [n, c, size(h, kernel[0], sh, ph, dh), size(w, kernel[1], sw, pw, dw)],
    ([image, channel, i, j]) => {
      const values: number[] = [];
      let covered = 0;
      for (let a = 0; a < kernel[0]; a++) {
        for (let b = 0; b < kernel[1]; b++) {
          const [r, s] = [i! * sh - ph + a * dh, j! * sw - pw + b * dw];
          if (r < h + ph && s < w + pw) covered++;
          if (r >= 0 && r < h && s >= 0 && s < w) values.push(at(x, [image!, channel!, r, s]));
        }
      }
      return f(values, covered);
    },
  );
}

const POOL: Case[] = (
  [
    [[2, 3, 9, 35], [3, 2], { stride: 2, padding: [1, 0] }],
    [[1, 2, 16, 16], [2, 2], {}],
    [[1, 2, 7, 5], [3, 3], { stride: 1, padding: 1 }],
    [[1, 1, 8, 20], [2, 3], { stride: 3, padding: 1 }],
    [[1, 2, 8, 18], [3, 3], { stride: 2, padding: 1, ceilMode: true }],
    [[1, 1, 5, 31], [2, 2], { stride: 3, padding: 1, ceilMode: true }],
    [[1, 2, 9, 33], [3, 2], { stride: [1, 2], padding: 1, dilation: [2, 3] }],
  ] as [number[], Window, PoolOptions][]
).flatMap(([shape, kernel, options]): Case[] => {
  const label = `${show(shape)} ${show(kernel)} ${show(options)}`;
  const bench = [
    { shapes: [[32, 64, 64, 64]], elements: 32 * 64 * 64 * 64, flops: 32 * 64 * 64 * 64 },
  ];
  const average = (countIncludePad: boolean): Case => ({
    name: `avgPool2d ${label} ${countIncludePad}`,
    ops: ['avg_pool2d', 'avg_pool2d_vjp'],
    inputs: [{ shape }],
    run: (x) => avgPool2d(x, kernel, { ...options, countIncludePad }),
    reference: (x) =>
      pooled(x, kernel, options, (v, covered) => sumOf(v) / (countIncludePad ? covered : v.length)),
    linearIn: [0],
    bench,
  });
  return [
    {
      name: `maxPool2d ${label}`,
      ops: ['max_pool2d', 'max_pool2d_vjp'],
      inputs: [{ shape, generate: distinct }],
      run: (x) => maxPool2d(x, kernel, options),
      reference: (x) => pooled(x, kernel, options, (v) => Math.max(...v)),
      bench,
    },
    ...(options.dilation ? [] : [average(true), average(false)]),
  ];
});

const ADAPTIVE: Case[] = (
  [
    [
      [2, 3, 9, 37],
      [1, 1],
    ],
    [
      [2, 3, 9, 37],
      [4, 5],
    ],
    [
      [1, 2, 3, 3],
      [5, 7],
    ],
  ] as [number[], Window][]
).map(([shape, size]) => ({
  name: `adaptiveAvgPool2d ${show(shape)} ${show(size)}`,
  ops: ['adaptive_avg_pool2d', 'adaptive_avg_pool2d_vjp'],
  inputs: [{ shape }],
  run: (x) => adaptiveAvgPool2d(x, size),
  reference: (x) =>
    build([shape[0]!, shape[1]!, ...size], ([n, c, i, j]) => {
      const range = (k: number, length: number, parts: number) =>
        [Math.floor((k * length) / parts), Math.ceil(((k + 1) * length) / parts)] as const;
      const [top, bottom] = range(i!, shape[2]!, size[0]);
      const [left, right] = range(j!, shape[3]!, size[1]);
      let sum = 0;
      for (let r = top; r < bottom; r++)
        for (let s = left; s < right; s++) sum += at(x, [n!, c!, r, s]);
      return sum / ((bottom - top) * (right - left));
    }),
  linearIn: [0],
}));

const DIVISOR: Case = {
  name: 'avgPool2d [2, 5, 6] [2, 3] divided by -4',
  ops: ['avg_pool2d', 'avg_pool2d_vjp'],
  inputs: [{ shape: [2, 5, 6] }],
  run: (x) => avgPool2d(x, [2, 3], { divisorOverride: -4 }),
  reference: ({ shape, data }) => {
    const { shape: out, data: sums } = pooled({ shape: [1, ...shape], data }, [2, 3], {}, sumOf);
    return { shape: out.slice(1), data: sums.map((v) => v / -4) };
  },
  linearIn: [0],
};

export const POOLING: Case[] = [...POOL, DIVISOR, ...ADAPTIVE];
