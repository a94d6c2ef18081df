import { type InterpolateOptions, type InterpolationMode, interpolate } from '../../lib';
import { type Case, type Values, at, build } from './case';

type Index = readonly number[];

/** Index and weight of what point i of an axis reads. */
type Taps = readonly (readonly [number, number])[];

function taps(
  mode: InterpolationMode,
  i: number,
  n: number,
  to: number,
  aligned: boolean,
  scale?: number,
): Taps {
  if (mode === 'area') {
    const [begin, end] = [Math.floor((i * n) / to), Math.ceil(((i + 1) * n) / to)];
    return Array.from({ length: end - begin }, (_, k) => [begin + k, 1 / (end - begin)]);
  }
  const ratio = aligned ? (to > 1 ? (n - 1) / (to - 1) : 0) : scale ? 1 / scale : n / to;
  const clamp = (j: number) => Math.min(Math.max(j, 0), n - 1);
  if (mode === 'nearest') return [[clamp(Math.floor(Math.fround(i * ratio))), 1]];
  const s = aligned ? ratio * i : ratio * (i + 0.5) - 0.5;
  if (mode === 'nearest-exact') return [[clamp(Math.floor(Math.fround(s + 0.5))), 1]];
  const begin = Math.floor(s);
  const t = s - begin;
  if (mode !== 'bicubic')
    return [
      [clamp(begin), 1 - t],
      [clamp(begin + 1), t],
    ];
  const a = -0.75;
  const kernel = (d: number) => {
    const x = Math.abs(d);
    if (x <= 1) return (a + 2) * x ** 3 - (a + 3) * x ** 2 + 1;
    return x < 2 ? a * (x ** 3 - 5 * x ** 2 + 8 * x - 4) : 0;
  };
  return [-1, 0, 1, 2].map((k) => [clamp(begin + k), kernel(t - k)] as const);
}

function resampled(shape: Index, options: InterpolateOptions): Case {
  const { mode = 'nearest', alignCorners, size, scaleFactor, recomputeScaleFactor } = options;
  const grid = shape.slice(2);
  const list = (v: number | Index) => (typeof v === 'number' ? grid.map(() => v) : v);
  const factors = scaleFactor ? list(scaleFactor) : undefined;
  const sizes = factors ? grid.map((n, d) => Math.floor(n * factors[d]!)) : list(size!);
  const reference = (x: Values) =>
    build([...shape.slice(0, 2), ...sizes], ([b, c, ...point]) => {
      const axes = point.map((i, d) => {
        const scale = recomputeScaleFactor ? undefined : factors?.[d];
        return taps(mode, i, grid[d]!, sizes[d]!, alignCorners ?? false, scale);
      });
      const sum = (d: number, index: number[]): number =>
        d === axes.length
          ? at(x, index)
          : axes[d]!.reduce((total, [j, w]) => total + w * sum(d + 1, [...index, j]), 0);
      return sum(0, [b!, c!]);
    });
  const corners =
    alignCorners === undefined ? '' : `, corners ${alignCorners ? '' : 'not '}aligned`;
  const to = factors ? `times ${factors.join()}` : `to ${sizes.join()}`;
  return {
    name: `interpolate [${shape.join()}] ${to}, ${mode}${corners}${recomputeScaleFactor ? ', recomputed' : ''}`,
    ops: ['interpolate', 'interpolate_vjp'],
    inputs: [{ shape }],
    run: (x) => interpolate(x, options),
    reference,
    linearIn: [0],
  };
}

const NEAREST = ['nearest', 'nearest-exact', 'area'] as const;

export const INTERPOLATE: Case[] = [
  ...NEAREST.flatMap((mode) => [
    resampled([2, 3, 7], { size: 16, mode }),
    resampled([1, 2, 17], { size: 5, mode }),
    resampled([1, 2, 5, 6], { size: [11, 3], mode }),
    resampled([1, 1, 4, 31], { scaleFactor: [2, 1.5], mode }),
    resampled([1, 2, 3, 4, 5], { size: [5, 2, 7], mode }),
    resampled([1, 2, 3, 2, 2], { scaleFactor: 2, mode }),
  ]),
  ...[true, false].flatMap((alignCorners) => [
    resampled([2, 2, 1], { size: 3, mode: 'linear', alignCorners }),
    resampled([2, 3, 15], { size: 31, mode: 'linear', alignCorners }),
    resampled([1, 2, 127], { size: 64, mode: 'linear', alignCorners }),
    resampled([2, 2, 5, 16], { scaleFactor: 2, mode: 'bilinear', alignCorners }),
    resampled([1, 2, 9, 8], { size: [4, 21], mode: 'bilinear', alignCorners }),
    resampled([1, 2, 6, 40], { size: [3, 1], mode: 'bilinear', alignCorners }),
    resampled([1, 1, 6, 7], { scaleFactor: [1.7, 0.6], mode: 'bilinear', alignCorners }),
    resampled([1, 1, 6, 7], { size: [6, 9], mode: 'bilinear', alignCorners }),
    resampled([1, 2, 3, 7], { size: [8, 17], mode: 'bicubic', alignCorners }),
    resampled([1, 1, 2, 100], { size: [1, 33], mode: 'bicubic', alignCorners }),
    resampled([1, 1, 9, 5], { scaleFactor: 0.55, mode: 'bicubic', alignCorners }),
    resampled([1, 2, 3, 4, 5], { size: [6, 3, 9], mode: 'trilinear', alignCorners }),
    resampled([1, 2, 5, 3, 4], { size: [2, 5, 4], mode: 'trilinear', alignCorners }),
    resampled([2, 1, 3, 2, 3], { size: [4, 2, 3], mode: 'trilinear', alignCorners }),
  ]),
  resampled([1, 1, 5, 5], { scaleFactor: 1.3, mode: 'bilinear', recomputeScaleFactor: true }),
  resampled([1, 2, 1], { scaleFactor: 1.6, mode: 'linear' }),
  resampled([0, 2, 3], { size: 6, mode: 'linear' }),
  resampled([2, 2, 4, 4], { size: 4, mode: 'bilinear' }),
];
