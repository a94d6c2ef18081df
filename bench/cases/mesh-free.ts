import { type Tensor, meshFreeConv2d, randn, tidy } from 'fluxion';
import { type Case, TORCH, clearGrads, defineCase, expectClose, inputSets } from '../case';

type Shape = {
  n: number;
  i: number;
  o: number;
  h: number;
  w: number;
  moments: number;
  /** A Gaussian of each pair of channels, or of each input channel. */
  form: 'pairs' | 'shared';
};

const BATCH = { n: 16, i: 32, o: 32, h: 64, w: 64 };
const SMALL = { n: 2, i: 3, o: 2, h: 9, w: 6 };

interface Mode {
  x: number;
  y: number;
}

/** Sums of a field with e^(-i w x) at one mode of the unit square: real and imaginary part. */
function coefficient(plane: ArrayLike<number>, begin: number, { h, w }: Shape, mode: Mode) {
  let [re, im] = [0, 0];
  for (let i = 0; i < h; i++) {
    for (let j = 0; j < w; j++) {
      const angle = 2 * Math.PI * ((mode.x * j) / w + (mode.y * i) / h);
      const value = plane[begin + i * w + j]!;
      re += value * Math.cos(angle);
      im -= value * Math.sin(angle);
    }
  }
  return [re, im] as const;
}

/** The symbol of a pair in float64, away from the Nyquist modes. */
function symbol(a: readonly number[], p: readonly number[], mode: Mode): [number, number] {
  const [wx, wy] = [2 * Math.PI * mode.x, 2 * Math.PI * mode.y];
  const e = Math.exp(-((p[0]! * wx + p[1]! * wy) ** 2) - (p[2]! * wy) ** 2);
  const second = a.length > 3 ? a[3]! * wx * wx + a[4]! * wx * wy + a[5]! * wy * wy : 0;
  return [(a[0]! - second) * e, (a[1]! * wx + a[2]! * wy) * e];
}

const MODES: readonly Mode[] = [
  { x: 0, y: 0 },
  { x: 1, y: -2 },
  { x: 2, y: 1 },
];

interface Weights {
  weight: Tensor;
  gaussian: Tensor | null;
}

/** Moments and widths of pair (o, i). */
function pairOf(s: Shape, { weight, gaussian }: Weights, o: number, i: number) {
  const row = [...weight.select(0, o).select(0, i).dataSync()];
  const p = gaussian ? [...gaussian.select(0, i).dataSync()] : row.slice(s.moments);
  return { a: row.slice(0, s.moments), p };
}

/**
 * Some modes of the result are the symbol times those of the input. With `conjugate`, of the adjoint, whose
 * inputs are the outputs.
 */
function checkModes(s: Shape, weights: Weights, from: Tensor, to: Tensor, conjugate: boolean) {
  const [u, v] = [from.dataSync(), to.dataSync()];
  const [inner, outer] = conjugate ? [s.o, s.i] : [s.i, s.o];
  const [b, r] = [s.n - 1, outer - 1];
  for (const mode of MODES) {
    let [re, im] = [0, 0];
    for (let k = 0; k < inner; k++) {
      const { a, p } = conjugate ? pairOf(s, weights, k, r) : pairOf(s, weights, r, k);
      const [c, d] = symbol(a, p, mode);
      const [x, y] = coefficient(u, (b * inner + k) * s.h * s.w, s, mode);
      const sign = conjugate ? -1 : 1;
      re += c * x - sign * d * y;
      im += c * y + sign * d * x;
    }
    const actual = coefficient(v, (b * outer + r) * s.h * s.w, s, mode);
    expectClose(`mode ${mode.x}, ${mode.y}`, actual[0], re, 1e-2);
    expectClose(`mode ${mode.x}, ${mode.y}`, actual[1], im, 1e-2);
  }
}

/** The gradient along the weight itself, by a difference of the loss <g, v>. */
function checkWeight(s: Shape, weights: Weights, u: Tensor, g: Tensor) {
  const { weight, gaussian } = weights;
  const loss = (scale: number) =>
    tidy(() =>
      meshFreeConv2d(u.detach().to('float64'), weight.detach().to('float64').mul(scale), {
        gaussian: gaussian && gaussian.detach().to('float64'),
      })
        .mul(g.to('float64'))
        .sum()
        .item(),
    );
  const expected = (loss(1 + 1e-5) - loss(1 - 1e-5)) / 2e-5;
  const along = weight.grad!.mul(weight.detach()).sum().item();
  expectClose('dweight', along / s.h, expected / s.h, 1e-2);
}

function meshFree(moments: number, form: Shape['form'], backward: boolean): Case {
  const sizes: Shape = { ...BATCH, moments, form };
  return defineCase<Shape>({
    name: `mesh-free-2d/${form}-${form === 'shared' ? moments : moments + 3}/${backward ? 'forward-backward' : 'forward'}`,
    peer: backward ? 'mesh-free-2d-backward' : 'mesh-free-2d',
    peers: TORCH,
    dtype: 'float32',
    sizes,
    small: { ...sizes, ...SMALL },
    // Fields once each way; transforms of 2.5 log2(cells) flops a cell, a complex product of 8 flops for
    // each pair and bin of half a spectrum.
    floors: ({ n, i, o, h, w }) => ({
      bytes: 4 * n * h * w * (backward ? 3 * i + 2 * o : i + o),
      flops:
        n * h * w * (2.5 * Math.log2(h * w) * (backward ? 3 * i + 2 * o : i + o)) +
        4 * n * h * w * i * o * (backward ? 3 : 1),
    }),
    inputBytes: ({ n, i, o, h, w }) => 4 * n * h * w * (backward ? i + o : i),
    setup: (s, sets) => {
      const u = inputSets(sets, [s.n, s.i, s.h, s.w], { requiresGrad: backward });
      const g = backward ? inputSets(sets, [s.n, s.o, s.h, s.w], { seed: 2 }) : [];
      const last = s.moments + (s.form === 'shared' ? 0 : 3);
      const weight = randn([s.o, s.i, last], { seed: 3 }).mul(0.1);
      const gaussian = s.form === 'shared' ? randn([s.i, 3], { seed: 4 }).mul(0.05) : null;
      const parameters = gaussian ? [weight, gaussian] : [weight];
      for (const t of parameters) t.requiresGrad = backward;
      const run = (set: number) => {
        const v = meshFreeConv2d(u[set]!, weight, { gaussian });
        if (!backward) return v;
        clearGrads(u[set]!, ...parameters);
        v.backward(g[set]);
        return v;
      };
      return {
        run,
        verify: () =>
          tidy(() => {
            const v = run(0);
            checkModes(s, { weight, gaussian }, u[0]!, v, false);
            if (!backward) return;
            checkModes(s, { weight, gaussian }, g[0]!, u[0]!.grad!, true);
            checkWeight(s, { weight, gaussian }, u[0]!, g[0]!);
          }),
      };
    },
  });
}

export const MESH_FREE: readonly Case[] = [false, true].flatMap((backward) => [
  meshFree(3, 'pairs', backward),
  meshFree(6, 'pairs', backward),
  meshFree(3, 'shared', backward),
]);
