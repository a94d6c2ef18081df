import {
  type Tensor,
  add,
  adrStep2d,
  advectSemiLagrangian2d,
  conv2d,
  implicitDiffusion2d,
  randn,
  silu,
  tensor,
  tidy,
  zeros,
} from 'fluxion';
import { type Case, TORCH, clearGrads, defineCase, expectSampled, inputSets } from '../case';

const SIZES = { n: 32, c: 64, m: 64, h: 64, w: 64, dt: 1 };
const SMALL = { n: 2, c: 3, m: 5, h: 9, w: 6, dt: 1 };

interface Parameters {
  d: Tensor;
  k: Tensor;
  w1: Tensor;
  b1: Tensor;
  w2: Tensor;
  b2: Tensor;
}

type Step = (u: Tensor, parameters: Parameters) => Tensor;

const fused: Step = (u, { d, k, w1, b1, w2, b2 }) =>
  adrStep2d(u, d, k, { weight1: w1, bias1: b1, weight2: w2, bias2: b2 }, { dt: 1 });

/** The same step as a program of separate operations. */
const composed: Step = (u, { d, k, w1, b1, w2, b2 }) => {
  const [m, c] = w1.shape as [number, number];
  const v = implicitDiffusion2d(advectSemiLagrangian2d(u, d), k, { dt: 1 });
  const hidden = silu(conv2d(v, w1.reshape([m, c, 1, 1]), { bias: b1 }));
  return add(v, conv2d(hidden, w2.reshape([c, m, 1, 1]), { bias: b2 }));
};

function adrStep(name: string, step: Step, backward: boolean): Case {
  return defineCase({
    name: `adr-step/${name}/${backward ? 'forward-backward' : 'forward'}`,
    peer: backward ? 'adr-step-backward' : 'adr-step',
    peers: TORCH,
    dtype: 'float32',
    sizes: SIZES,
    small: SMALL,
    floors: ({ n, c, m, h, w }) => ({
      bytes: (backward ? 20 : 8) * n * c * h * w,
      flops: (backward ? 14 : 4) * n * c * m * h * w,
    }),
    inputBytes: ({ n, c, h, w }) => 4 * n * c * h * w * (backward ? 2 : 1),
    setup: ({ n, c, m, h, w }, sets) => {
      const u = inputSets(sets, [n, c, h, w], { requiresGrad: backward });
      const g = backward ? inputSets(sets, [n, c, h, w], { seed: 2 }) : [];
      const parameters: Parameters = {
        d: randn([n, 2, h, w], { seed: 3 }),
        k: tensor(Float32Array.from({ length: c }, (_, i) => 0.1 + i / c)),
        w1: randn([m, c], { seed: 4 }).mul(0.1),
        b1: zeros([m]),
        w2: randn([c, m], { seed: 5 }).mul(0.1),
        b2: zeros([c]),
      };
      for (const parameter of Object.values(parameters) as Tensor[])
        parameter.requiresGrad = backward;
      const run = (set: number, chosen = step) => {
        const y = chosen(u[set]!, parameters);
        if (!backward) return y;
        clearGrads(u[set]!, ...(Object.values(parameters) as Tensor[]));
        y.backward(g[set]);
        return y;
      };
      const results = (chosen: Step) =>
        tidy(() => {
          const y = run(0, chosen);
          const leaves = [u[0]!, ...(Object.values(parameters) as Tensor[])];
          return [y, ...(backward ? leaves.map((leaf) => leaf.grad!) : [])].map((t) =>
            t.dataSync(),
          );
        });
      return {
        run,
        verify: () => {
          const expected = results(step === fused ? composed : fused);
          results(step).forEach((values, i) =>
            expectSampled(`${name}, result ${i}`, values, (at) => expected[i]![at]!, 2e-3),
          );
        },
      };
    },
  });
}

export const ADR_STEP: readonly Case[] = [false, true].flatMap((backward) => [
  adrStep('fused', fused, backward),
  adrStep('composed', composed, backward),
]);
