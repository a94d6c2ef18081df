import { type SemiLagrangianOptions, type Tensor, tidy } from 'fluxion';
import { advectSemiLagrangian2d, advectSemiLagrangian3d, gridSample, tensor } from 'fluxion';
import { type Case, TORCH, clearGrads, defineCase, expectClose, inputSets } from '../case';

interface Shape {
  readonly [name: string]: number | string;
  n: number;
  c: number;
  d: number;
  h: number;
  w: number;
  axes: 2 | 3;
  positions: 'shared' | 'channel' | 'grid';
  interpolation: 'bilinear' | 'bicubic';
  transport: 'color' | 'mass';
  /** Standard deviation of the displacement in cells. */
  spread: number;
}

const PLANES = { n: 32, c: 64, d: 1, h: 64, w: 64, axes: 2, spread: 2 } as const;
const VOLUMES = { n: 2, c: 16, d: 32, h: 32, w: 32, axes: 3, spread: 2 } as const;
const SMALL = { n: 2, c: 9, h: 6, w: 18 };

const cellsOf = ({ d, h, w }: Shape) => d * h * w;
const sizeOf = (s: Shape) => (s.axes === 2 ? [s.h, s.w] : [s.d, s.h, s.w]);

/** Elements of the displacement or grid. */
function positionsOf(s: Shape): number {
  return s.axes * s.n * cellsOf(s) * (s.positions === 'channel' ? s.c : 1);
}

/** Displaced position of a cell of channel c, along x, y and z, by the definition. */
function positionOf(s: Shape, at: ArrayLike<number>, n: number, c: number, cell: number): number[] {
  const own = [cell % s.w, Math.floor(cell / s.w) % s.h, Math.floor(cell / s.w / s.h)];
  const cells = cellsOf(s);
  return own.slice(0, s.axes).map((i, axis) => {
    if (s.positions === 'grid') {
      const size = axis === 0 ? s.w : s.h;
      return ((at[(n * cells + cell) * 2 + axis]! + 1) * size - 1) / 2;
    }
    const field = s.positions === 'channel' ? n * s.c + c : n;
    return i + at[(field * s.axes + axis) * cells + cell]!;
  });
}

function weightOf(s: Shape, distance: number): number {
  const x = Math.abs(distance);
  if (s.interpolation === 'bilinear') return Math.max(0, 1 - x);
  if (x <= 1) return 1.25 * x ** 3 - 2.25 * x ** 2 + 1;
  return x < 2 ? -0.75 * (x ** 3 - 5 * x ** 2 + 8 * x - 4) : 0;
}

/** Calls visit(cell, weight) for the cells that a position touches; outside there is nothing. */
function forTaps(s: Shape, position: number[], visit: (cell: number, weight: number) => void) {
  const extent = [s.w, s.h, s.d];
  const strides = [1, s.w, s.w * s.h];
  const recurse = (axis: number, cell: number, weight: number): void => {
    if (axis === s.axes) return visit(cell, weight);
    const first = Math.floor(position[axis]!) - 1;
    for (let i = Math.max(0, first); i < Math.min(extent[axis]!, first + 4); i++) {
      const w = weightOf(s, position[axis]! - i);
      if (w !== 0) recurse(axis + 1, cell + i * strides[axis]!, weight * w);
    }
  };
  recurse(0, 0, 1);
}

/** One plane or volume transported in float64. */
function transported(s: Shape, u: ArrayLike<number>, at: ArrayLike<number>, n: number, c: number) {
  const cells = cellsOf(s);
  const base = (n * s.c + c) * cells;
  const out = new Float64Array(cells);
  for (let cell = 0; cell < cells; cell++) {
    forTaps(s, positionOf(s, at, n, c, cell), (to, weight) => {
      if (s.transport === 'color') out[cell]! += weight * u[base + to]!;
      else out[to]! += weight * u[base + cell]!;
    });
  }
  return out;
}

/** Compares the first and the last plane of a result. */
function checkPlanes(what: string, s: Shape, result: Tensor, u: Tensor, at: Tensor) {
  const [actual, from, positions] = [result, u, at].map((t) => t.dataSync());
  for (const [n, c] of [
    [0, 0],
    [s.n - 1, s.c - 1],
  ] as const) {
    const base = (n * s.c + c) * cellsOf(s);
    transported(s, from!, positions!, n, c).forEach((value, cell) =>
      expectClose(`${what}, cell ${cell}`, actual![base + cell]!, value, 1e-4),
    );
  }
}

/** The gradient in the position of some points of field 0, by differences of the interpolant in float64. */
function checkPositionGradient(s: Shape, u: Tensor, g: Tensor, at: Tensor) {
  const color = s.transport === 'color';
  const [image, carried] = [color ? u : g, color ? g : u].map((t) => t.dataSync());
  const [positions, gradient] = [at.dataSync(), at.grad!.dataSync()];
  const cells = cellsOf(s);
  const channels = s.positions === 'channel' ? 1 : s.c;
  for (let cell = 0; cell < cells; cell += Math.max(1, Math.floor(cells / 50)) | 1) {
    const position = positionOf(s, positions, 0, 0, cell);
    position.forEach((x, axis) => {
      const step = 1e-3;
      const kink = Math.abs(x - Math.round(x)) < 2 * step;
      if (kink && s.interpolation === 'bilinear') return;
      let expected = 0;
      for (let c = 0; c < channels; c++) {
        for (const sign of [1, -1]) {
          const moved = position.map((y, i) => (i === axis ? y + sign * step : y));
          forTaps(s, moved, (to, weight) => {
            const value = weight * image![c * cells + to]! * carried![c * cells + cell]!;
            expected += (sign * value) / (2 * step);
          });
        }
      }
      const extent = axis === 0 ? s.w : s.h;
      const index = s.positions === 'grid' ? cell * 2 + axis : axis * cells + cell;
      const scale = s.positions === 'grid' ? extent / 2 : 1;
      expectClose(`gradient at ${cell}, axis ${axis}`, gradient[index]! / scale, expected, 1e-2);
    });
  }
}

/** Displacements of `spread` cells, or the grid of such positions. */
function positionSets(s: Shape, sets: number, requiresGrad: boolean): Tensor[] {
  const cells = cellsOf(s);
  const shape =
    s.positions === 'grid'
      ? [s.n, s.h, s.w, 2]
      : [s.n, ...(s.positions === 'channel' ? [s.c] : []), s.axes, ...sizeOf(s)];
  const all = inputSets(sets, shape, { seed: 3 });
  return all.map((noise) => {
    const scaled = tidy(() => noise.mul(s.spread));
    if (s.positions === 'grid') {
      const values = scaled.dataSync() as Float32Array;
      values.forEach((shift, i) => {
        const cell = Math.floor(i / 2) % cells;
        const [at, n] = i % 2 === 0 ? [cell % s.w, s.w] : [Math.floor(cell / s.w), s.h];
        values[i] = (2 * (at + shift) + 1) / n - 1;
      });
      scaled.dispose();
      noise.dispose();
      return tensor(values, { shape, requiresGrad });
    }
    noise.dispose();
    scaled.requiresGrad = requiresGrad;
    return scaled;
  });
}

function semiLagrangian(name: string, sizes: Shape, backward: boolean): Case {
  const taps = (s: Shape) => (s.interpolation === 'bilinear' ? 2 : 4) ** s.axes;
  return defineCase<Shape>({
    name: `${name}/${backward ? 'forward-backward' : 'forward'}`,
    peer: `${sizes.positions === 'grid' ? 'grid-sample' : 'semi-lagrangian'}${backward ? '-backward' : ''}`,
    peers: TORCH,
    dtype: 'float32',
    sizes,
    small: { ...sizes, ...SMALL, d: sizes.axes === 2 ? 1 : 4 },
    floors: (s) => {
      const field = s.n * s.c * cellsOf(s);
      return {
        bytes: (backward ? 20 : 8) * field + (backward ? 12 : 4) * positionsOf(s),
        flops: (backward ? 8 : 2) * taps(s) * field,
      };
    },
    inputBytes: (s) => 4 * ((backward ? 2 : 1) * s.n * s.c * cellsOf(s) + positionsOf(s)),
    setup: (s, sets) => {
      const shape = [s.n, s.c, ...sizeOf(s)];
      const u = inputSets(sets, shape, { requiresGrad: backward });
      const g = backward ? inputSets(sets, shape, { seed: 2 }) : [];
      const at = positionSets(s, sets, backward);
      const { interpolation, transport } = s;
      const options: SemiLagrangianOptions = { interpolation, transport };
      const transportBy = s.axes === 2 ? advectSemiLagrangian2d : advectSemiLagrangian3d;
      const run = (set: number) => {
        const v =
          s.positions === 'grid'
            ? gridSample(u[set]!, at[set]!, { mode: interpolation })
            : transportBy(u[set]!, at[set]!, options);
        if (!backward) return v;
        clearGrads(u[set]!, at[set]!);
        v.backward(g[set]);
        return v;
      };
      return {
        run,
        verify: () =>
          tidy(() => {
            checkPlanes(name, s, run(0), u[0]!, at[0]!);
            if (!backward) return;
            // The adjoint in the field is the opposite transport.
            const adjoint = { ...s, transport: transport === 'color' ? 'mass' : 'color' } as const;
            checkPlanes(`gradient of ${name}`, adjoint, u[0]!.grad!, g[0]!, at[0]!);
            checkPositionGradient(s, u[0]!, g[0]!, at[0]!);
          }),
      };
    },
  });
}

const COLOR = { interpolation: 'bilinear', transport: 'color', positions: 'shared' } as const;

const VARIANTS: readonly [string, Shape][] = [
  ['semi-lagrangian-2d/shared', { ...PLANES, ...COLOR }],
  ['semi-lagrangian-2d/per-channel', { ...PLANES, ...COLOR, positions: 'channel' }],
  ['semi-lagrangian-2d/bicubic', { ...PLANES, ...COLOR, interpolation: 'bicubic' }],
  ['semi-lagrangian-2d/mass', { ...PLANES, ...COLOR, transport: 'mass' }],
  ['semi-lagrangian-3d/shared', { ...VOLUMES, ...COLOR }],
  ['grid-sample-2d/bilinear', { ...PLANES, ...COLOR, positions: 'grid' }],
];

export const SEMI_LAGRANGIAN: readonly Case[] = VARIANTS.flatMap(([name, sizes]) =>
  [false, true].map((backward) => semiLagrangian(name, sizes, backward)),
);
