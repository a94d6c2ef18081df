import {
  type GridSampleOptions,
  type SemiLagrangianOptions,
  type Tensor,
  advectSemiLagrangian2d,
  advectSemiLagrangian3d,
  gridSample,
  vjp,
} from '../../lib';
import { type Case, type Input, type Values, at, indicesOf, sizeOf } from './case';

type Outside = 'zeros' | 'border' | 'reflect' | 'mirror' | 'periodic';
type Kernel = 'nearest' | 'bilinear' | 'bicubic';

const modulo = (i: number, n: number) => ((i % n) + n) % n;

/** The cell that stands at index i of a line of n; null: zero. */
function cellAt(i: number, n: number, outside: Outside): number | null {
  if (i >= 0 && i < n) return i;
  if (outside === 'zeros') return null;
  if (outside === 'border') return i < 0 ? 0 : n - 1;
  if (outside === 'periodic') return modulo(i, n);
  if (outside === 'reflect') return Math.min(modulo(i, 2 * n), 2 * n - 1 - modulo(i, 2 * n));
  const period = Math.max(1, 2 * n - 2);
  return Math.min(modulo(i, period), period - modulo(i, period));
}

/** Keys' kernel with a = -3/4. */
function keys(distance: number): number {
  const [a, x] = [-0.75, Math.abs(distance)];
  if (x <= 1) return (a + 2) * x ** 3 - (a + 3) * x ** 2 + 1;
  return x < 2 ? a * x ** 3 - 5 * a * x ** 2 + 8 * a * x - 4 * a : 0;
}

/** Cells of a line and their weights for a position; ties of 'nearest' do not occur in the cases. */
function tapsOf(position: number, n: number, kernel: Kernel, outside: Outside): [number, number][] {
  const first = kernel === 'nearest' ? Math.round(position) : Math.floor(position);
  const taps: [number, number][] = [];
  for (let i = first - 2; i <= first + 3; i++) {
    const distance = position - i;
    const weight =
      kernel === 'nearest'
        ? Number(i === first)
        : kernel === 'bilinear'
          ? Math.max(0, 1 - Math.abs(distance))
          : keys(distance);
    const cell = cellAt(i, n, outside);
    if (cell !== null && weight !== 0) taps.push([cell, weight]);
  }
  return taps;
}

/** Calls visit(flat cell, weight) for all taps of a position, given from the first spatial axis to the last. */
function forTaps(
  position: readonly number[],
  size: readonly number[],
  kernel: Kernel,
  outside: Outside,
  visit: (cell: number, weight: number) => void,
): void {
  const recurse = (axis: number, cell: number, weight: number) => {
    if (axis === size.length) return visit(cell, weight);
    for (const [i, w] of tapsOf(position[axis]!, size[axis]!, kernel, outside)) {
      recurse(axis + 1, cell * size[axis]! + i, weight * w);
    }
  };
  recurse(0, 0, 1);
}

function advectReference(u: Values, d: Values, options: Required<SemiLagrangianOptions>): Values {
  const size = u.shape.slice(2);
  const axes = size.length;
  const cells = sizeOf(size);
  const data = new Float64Array(u.data.length);
  let p = 0;
  for (const [n, c, ...x] of indicesOf(u.shape)) {
    const own = d.shape.length === axes + 3 ? [n!, c!] : [n!];
    const position = x.map((i, axis) => i + at(d, [...own, axes - 1 - axis, ...x]));
    const base = p - (p % cells);
    forTaps(position, size, options.interpolation, options.boundary, (cell, weight) => {
      if (options.transport === 'color') data[p]! += weight * u.data[base + cell]!;
      else data[base + cell]! += weight * u.data[p]!;
    });
    p++;
  }
  return { shape: u.shape, data };
}

/** Whole numbers of [-reach, reach) plus fractions away from 0 and 1, where linear interpolation has kinks. */
const displacements = (reach: number) => (size: number, random: () => number) =>
  Array.from({ length: size }, () =>
    Math.fround(Math.floor((2 * random() - 1) * reach) + 0.1 + 0.8 * random()),
  );

const dims = (shape: readonly number[]) => `[${shape.join(',')}]`;

function advectCase(
  u: readonly number[],
  d: readonly number[],
  options: Required<SemiLagrangianOptions>,
  generate = displacements(3),
  more: Partial<Case> = {},
): Case {
  const axes = u.length - 2;
  const run = axes === 2 ? advectSemiLagrangian2d : advectSemiLagrangian3d;
  const { boundary, interpolation, transport } = options;
  return {
    name: `advectSemiLagrangian${axes}d ${dims(u)} by ${dims(d)} ${boundary} ${interpolation} ${transport}`,
    ops: [`advect_semi_lagrangian_${axes}d`],
    inputs: [{ shape: u }, { shape: d, generate }],
    run: (x: Tensor, displacement: Tensor) => run(x, displacement, options),
    reference: (x, displacement) => advectReference(x, displacement, options),
    linearIn: [0],
    tolerance: { float32: 1e-5 },
    ...more,
  };
}

const BOUNDARIES = ['zeros', 'border', 'reflect', 'periodic'] as const;
const INTERPOLATIONS = ['bilinear', 'bicubic'] as const;
const TRANSPORTS = ['color', 'mass'] as const;

const CHOICES: Required<SemiLagrangianOptions>[] = BOUNDARIES.flatMap((boundary) =>
  INTERPOLATIONS.flatMap((interpolation) =>
    TRANSPORTS.map((transport) => ({ boundary, interpolation, transport })),
  ),
);

// Every choice with a shared displacement of few channels and of more than a vector of them, and with one for
// each channel; the sizes go round.
const SHARED: [number, number][] = [
  [1, 1],
  [3, 2],
  [2, 15],
  [1, 17],
  [4, 5],
];
const LANES: [number, number][] = [
  [2, 3],
  [3, 1],
  [1, 5],
  [4, 4],
  [2, 7],
];
const OWN: [number, number][] = [
  [3, 16],
  [2, 1],
  [1, 31],
  [5, 3],
  [17, 2],
];
const round = <T>(list: readonly T[], i: number): T => list[i % list.length]!;

const ADVECT_2D: Case[] = CHOICES.flatMap((choice, i) => {
  const [shared, lanes, own] = [SHARED, LANES, OWN].map((list) => round(list, i));
  const channels = round([8, 17, 19], i);
  return [
    advectCase([2, 3, ...shared!], [i % 2 ? 2 : 1, 2, ...shared!], choice),
    advectCase([2, channels, ...lanes!], [i % 3 ? 2 : 1, 2, ...lanes!], choice),
    advectCase([2, 2, ...own!], [i % 2 ? 1 : 2, 2, 2, ...own!], choice),
  ];
});

const COLOR = { boundary: 'zeros', interpolation: 'bilinear', transport: 'color' } as const;
const noGradient = (gradient: string): Partial<Case> => ({ gradient, linearIn: [0] });

const ADVECT_2D_SIZES: Case[] = [
  advectCase([1, 1, 3, 100], [1, 2, 3, 100], { ...COLOR, boundary: 'reflect' }),
  advectCase([1, 2, 127, 2], [1, 2, 127, 2], { ...COLOR, boundary: 'periodic' }),
  advectCase([1, 1, 64, 31], [1, 2, 64, 31], { ...COLOR, transport: 'mass' }),
  advectCase([8, 17, 3, 6], [8, 2, 3, 6], COLOR),
  advectCase([8, 33, 2, 3], [1, 2, 2, 3], { ...COLOR, transport: 'mass', boundary: 'border' }),
  advectCase([1, 40, 3, 17], [1, 2, 3, 17], { ...COLOR, interpolation: 'bicubic' }),
  // More than the shared memory of a GPU.
  advectCase([1, 2, 3, 20000], [1, 2, 3, 20000], { ...COLOR, boundary: 'reflect' }),
  advectCase([0, 3, 4, 5], [1, 2, 4, 5], COLOR, displacements(2), noGradient('it is empty')),
  advectCase([2, 0, 4, 5], [2, 2, 4, 5], COLOR, displacements(2), noGradient('it is empty')),
  ...CHOICES.flatMap((choice, i) => {
    const whole = (size: number, random: () => number) =>
      Array.from({ length: size }, () => Math.floor(random() * 21) - 10);
    const far = (size: number, random: () => number) =>
      Array.from({ length: size }, () => Math.round((random() - 0.5) * 4e6) + 0.25);
    const channels = round([9, 2], i);
    return [
      advectCase([1, channels, 5, 6], [1, 2, 5, 6], choice, whole, noGradient('kinks')),
      advectCase([1, channels, 6, 3], [1, 2, 6, 3], choice, far, noGradient('kinks')),
    ];
  }),
];

const ADVECT_3D: Case[] = [
  ...CHOICES.map((choice, i) => {
    const size = round(
      [
        [2, 3, 4],
        [1, 2, 3],
        [3, 1, 2],
      ],
      i,
    );
    const channels = round([2, 9], i + (i >> 1));
    const own = i % 4 === 2 && choice.interpolation === 'bilinear';
    return own
      ? advectCase([2, 2, ...size], [1, 2, 3, ...size], choice, displacements(2))
      : advectCase([1, channels, ...size], [1, 3, ...size], choice, displacements(2));
  }),
  advectCase([2, 18, 2, 3, 17], [1, 3, 2, 3, 17], { ...COLOR, boundary: 'periodic' }),
];

// --- Grid sampling

const PADDINGS = ['zeros', 'border', 'reflection'] as const;
const MODES = ['bilinear', 'nearest', 'bicubic'] as const;

function outsideOf(paddingMode: (typeof PADDINGS)[number], alignCorners: boolean): Outside {
  if (paddingMode !== 'reflection') return paddingMode;
  return alignCorners ? 'mirror' : 'reflect';
}

/** A grid whose positions reach 3 cells out of the image and lie away from kinks and ties. */
function gridInput(
  size: readonly number[],
  shape: readonly number[],
  alignCorners: boolean,
): Input {
  const axes = size.length;
  return {
    shape,
    generate: (count, random) =>
      Array.from({ length: count }, (_, i) => {
        const n = size[axes - 1 - (i % axes)]!;
        const fraction = (random() < 0.5 ? 0.1 : 0.6) + 0.3 * random();
        const position = Math.floor(random() * (n + 6)) - 3 + fraction;
        const g = alignCorners ? (2 * position) / Math.max(1, n - 1) : (2 * position + 1) / n;
        return Math.fround(g - 1);
      }),
  };
}

function gridCase(
  u: readonly number[],
  points: readonly number[],
  options: Required<GridSampleOptions>,
): Case {
  const { mode, paddingMode, alignCorners } = options;
  const size = u.slice(2);
  const axes = size.length;
  const outside = outsideOf(paddingMode, alignCorners);
  const reference = (x: Values, grid: Values): Values => {
    const shape = [...u.slice(0, 2), ...points];
    const data = new Float64Array(sizeOf(shape));
    const cells = sizeOf(size);
    let p = 0;
    for (const [n, c, ...point] of indicesOf(shape)) {
      const position = size.map((count, axis) => {
        const g = at(grid, [n!, ...point, axes - 1 - axis]);
        return alignCorners ? ((g + 1) / 2) * (count - 1) : ((g + 1) * count - 1) / 2;
      });
      const base = (n! * u[1]! + c!) * cells;
      forTaps(position, size, mode, outside, (cell, weight) => {
        data[p]! += weight * x.data[base + cell]!;
      });
      p++;
    }
    return { shape, data };
  };
  return {
    name: `gridSample ${dims(u)} at ${dims(points)} ${mode} ${paddingMode}${alignCorners ? ' aligned' : ''}`,
    ops: ['grid_sample'],
    inputs: [{ shape: u }, gridInput(size, [u[0]!, ...points, axes], alignCorners)],
    run: (x, grid) => gridSample(x, grid, options),
    reference,
    linearIn: [0],
    // The position in cells is rounded to float32.
    tolerance: { float32: 2e-5 },
  };
}

const GRID_CHOICES: Required<GridSampleOptions>[] = MODES.flatMap((mode) =>
  PADDINGS.flatMap((paddingMode) =>
    [false, true].map((alignCorners) => ({ mode, paddingMode, alignCorners })),
  ),
);

const GRID_SAMPLE: Case[] = GRID_CHOICES.flatMap((choice, i) => {
  const few = round(
    [
      [4, 5],
      [1, 1],
      [3, 2],
    ],
    i + (i >> 1),
  );
  return [
    gridCase([2, 2, ...few], [3, 18], choice),
    gridCase(
      [2, 11, 3, 4],
      round(
        [
          [2, 3],
          [1, 17],
        ],
        i,
      ),
      choice,
    ),
    ...(choice.mode === 'bicubic'
      ? []
      : [gridCase([1, round([2, 9], i), 3, 2, 4], [2, 1, 5], choice)]),
  ];
});

export const SEMI_LAGRANGIAN: Case[] = [
  ...ADVECT_2D,
  ...ADVECT_2D_SIZES,
  ...ADVECT_3D,
  ...GRID_SAMPLE,
  {
    // The adjoint in the image, where the grid is constant, is an op of its own.
    name: 'gradient of gridSample in the image',
    ops: ['grid_sample_input_vjp'],
    inputs: [
      { shape: [1, 2, 3, 4] },
      { ...gridInput([3, 4], [1, 3, 4, 2], false), differentiable: false },
    ],
    run: (x, grid) => {
      const weight = gridSample(x, grid);
      const { pullback } = vjp((image: Tensor) => gridSample(image, grid), x);
      return pullback(weight)[0]!;
    },
    reference: (x, grid) => {
      const image = gridCase([1, 2, 3, 4], [3, 4], {
        mode: 'bilinear',
        paddingMode: 'zeros',
        alignCorners: false,
      });
      const sampled = image.reference(x, grid);
      const data = new Float64Array(x.data.length);
      let p = 0;
      for (const [, c, i, j] of indicesOf(sampled.shape)) {
        const position = [0, 1].map((axis) => {
          const g = at(grid, [0, i!, j!, 1 - axis]);
          return ((g + 1) * [3, 4][axis]! - 1) / 2;
        });
        forTaps(position, [3, 4], 'bilinear', 'zeros', (cell, weight) => {
          data[c! * 12 + cell]! += weight * sampled.data[p]!;
        });
        p++;
      }
      return { shape: x.shape, data };
    },
    tolerance: { float32: 2e-5 },
  },
];
