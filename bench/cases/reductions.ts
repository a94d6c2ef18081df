import {
  type Tensor,
  bceWithLogits,
  logsumexp,
  mean,
  mseLoss,
  norm,
  sum,
  tidy,
  variance,
} from 'fluxion';
import { type Case, TORCH, clearGrads, defineCase, expectClose, inputSets } from '../case';

interface Rows {
  name: string;
  rows: number;
  size: number;
  run: (x: Tensor) => Tensor;
  /** Of the values of a row, or of the whole tensor where that is the result. */
  of: (values: ArrayLike<number>) => number;
}

/** A reduction of the rows of a matrix, or of all of it. */
function reduction({ name, rows, size, run, of }: Rows): Case {
  return defineCase({
    name: `reduce/${name}`,
    peer: `reduce-${name}`,
    peers: TORCH,
    dtype: 'float32',
    sizes: { rows, size },
    small: { rows: 5, size: 33 },
    floors: (s) => ({ bytes: 4 * s.rows * s.size, flops: s.rows * s.size }),
    inputBytes: (s) => 4 * s.rows * s.size,
    setup: (s, sets) => {
      const x = inputSets(sets, [s.rows, s.size]);
      return {
        run: (set) => run(x[set]!),
        verify: () => {
          const given = x[0]!.dataSync();
          const values = tidy(() => run(x[0]!).dataSync());
          const length = given.length / values.length;
          for (const i of [0, values.length - 1]) {
            const expected = of(given.slice(i * length, (i + 1) * length));
            expectClose(`${name}[${i}]`, values[i]!, expected, 1e-4);
          }
        },
      };
    },
  });
}

const total = (v: ArrayLike<number>, f = (x: number) => x) => {
  let result = 0;
  for (let i = 0; i < v.length; i++) result += f(v[i]!);
  return result;
};
const spread = (v: ArrayLike<number>) => {
  const average = total(v) / v.length;
  return total(v, (x) => (x - average) ** 2) / (v.length - 1);
};

function lossCase(name: string, run: (x: Tensor, t: Tensor) => Tensor): Case {
  return defineCase({
    name: `${name}/forward-backward`,
    peer: `${name}-backward`,
    peers: TORCH,
    dtype: 'float32',
    sizes: { n: 1 << 22 },
    small: { n: 1000 },
    // Both are read twice, the gradient is written.
    floors: ({ n }) => ({ bytes: 20 * n, flops: 6 * n }),
    inputBytes: ({ n }) => 8 * n,
    setup: ({ n }, sets) => {
      const x = inputSets(sets, [n], { requiresGrad: true });
      const t = inputSets(sets, [n], { seed: 2 });
      const step = (set: number) => {
        clearGrads(x[set]!);
        const loss = run(x[set]!, t[set]!);
        loss.backward();
        return loss;
      };
      return {
        run: step,
        verify: () => {
          const loss = tidy(() => step(0).item());
          const each = tidy(() =>
            mean(run(x[0]!.detach().reshape([-1, 1]), t[0]!.reshape([-1, 1]))).item(),
          );
          expectClose(name, loss, each, 1e-5);
          // The slope along x itself.
          const slope = tidy(() => sum(x[0]!.grad!.mul(x[0]!.detach())).item());
          const at = (scale: number) =>
            tidy(() => run(x[0]!.detach().mul(scale).to('float64'), t[0]!.to('float64')).item());
          expectClose(`d ${name}`, slope, (at(1.001) - at(0.999)) / 0.002, 1e-2);
        },
      };
    },
  });
}

export const REDUCTIONS: readonly Case[] = [
  reduction({
    name: 'rows',
    rows: 4096,
    size: 1000,
    run: (x) => sum(x, { dim: 1 }),
    of: (v) => total(v),
  }),
  reduction({
    name: 'short-rows',
    rows: 1 << 18,
    size: 16,
    run: (x) => sum(x, { dim: 1 }),
    of: (v) => total(v),
  }),
  reduction({
    name: 'variance',
    rows: 4096,
    size: 1000,
    run: (x) => variance(x, { dim: 1 }),
    of: spread,
  }),
  reduction({
    name: 'norm',
    rows: 4096,
    size: 1000,
    run: (x) => norm(x),
    of: (v) => Math.sqrt(total(v, (x) => x * x)),
  }),
  reduction({
    name: 'logsumexp',
    rows: 4096,
    size: 1000,
    run: (x) => logsumexp(x, 1),
    of: (v) => Math.log(total(v, Math.exp)),
  }),
  lossCase('mse-loss', (x, t) => mseLoss(x, t)),
  lossCase('bce-with-logits', (x, t) => bceWithLogits(x, t)),
];
