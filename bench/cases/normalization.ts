import { type Tensor, batchNorm, groupNorm, layerNorm, relu, sum, tidy } from 'fluxion';
import { type Case, TORCH, clearGrads, defineCase, expectClose, inputSets } from '../case';

type Sizes = Record<'n' | 'c' | 'h' | 'w', number>;
type Run = (x: Tensor, weight: Tensor, bias: Tensor, sizes: Sizes) => Tensor;

interface Normalization {
  name: string;
  peer: string;
  sizes: Sizes;
  small: Sizes;
  /** Shape of weight and bias. */
  parameters: (sizes: Sizes) => number[];
  run: Run;
  /** The same from other operations. */
  steps: Run;
}

/** x normalised over dimensions, then weight and bias. */
function inSteps(x: Tensor, dim: number[], weight: Tensor, bias: Tensor): Tensor {
  const centred = x.sub(x.mean({ dim, keepdim: true }));
  const deviation = centred.square().mean({ dim, keepdim: true }).add(1e-5).sqrt();
  return centred.div(deviation).mul(weight).add(bias);
}

/** Forward, and backward to x, weight and bias: reads x and g, writes y and gx. */
function normalization(how: Normalization): Case {
  return defineCase({
    name: `${how.name}/forward-backward`,
    peer: how.peer,
    peers: TORCH,
    dtype: 'float32',
    sizes: how.sizes,
    small: how.small,
    floors: ({ n, c, h, w }) => ({ bytes: 20 * n * c * h * w, flops: 18 * n * c * h * w }),
    inputBytes: ({ n, c, h, w }) => 8 * n * c * h * w,
    setup: (sizes, sets) => {
      const shape = [sizes.n, sizes.c, sizes.h, sizes.w];
      const x = inputSets(sets, shape, { requiresGrad: true });
      const g = inputSets(sets, shape, { seed: 2 });
      const parameters = how.parameters(sizes);
      const [weight] = inputSets(1, parameters, { seed: 3, requiresGrad: true }) as [Tensor];
      const [bias] = inputSets(1, parameters, { seed: 4, requiresGrad: true }) as [Tensor];
      const leaves = (set: number) => [x[set]!, weight, bias];
      const step = (set: number, run: Normalization['run']) => {
        clearGrads(...leaves(set));
        const y = run(x[set]!, weight, bias, sizes);
        y.backward(g[set]);
        return y;
      };
      return {
        run: (set) => step(set, how.run),
        verify: () => {
          const figures = (run: Normalization['run']) =>
            tidy(() => {
              const y = step(0, run);
              const values = [y, ...leaves(0).map((t) => t.grad!)];
              return values.map((t) => sum(t.mul(t)).item());
            });
          const expected = figures(how.steps);
          figures(how.run).forEach((v, i) =>
            expectClose(`${how.name}[${i}]`, v, expected[i]!, 1e-3),
          );
        },
      };
    },
  });
}

const IMAGES = { n: 32, c: 64, h: 64, w: 64 };
const SMALL = { n: 2, c: 8, h: 6, w: 5 };
const column = (t: Tensor) => t.reshape([1, -1, 1, 1]);

export const NORMALIZATION: readonly Case[] = [
  normalization({
    name: 'batch-norm-relu',
    peer: 'batch-norm-relu-backward',
    sizes: IMAGES,
    small: SMALL,
    parameters: ({ c }) => [c],
    run: (x, weight, bias) => batchNorm(x, { weight, bias, training: true, activation: 'relu' }),
    steps: (x, weight, bias) => relu(inSteps(x, [0, 2, 3], column(weight), column(bias))),
  }),
  normalization({
    name: 'group-norm',
    peer: 'group-norm-backward',
    sizes: IMAGES,
    small: SMALL,
    parameters: ({ c }) => [c],
    run: (x, weight, bias) => groupNorm(x, 8, { weight, bias }),
    steps: (x, weight, bias, { n, c, h, w }) => {
      const grouped = x.reshape([n, 8, c / 8, h, w]);
      const spread = (t: Tensor) => t.reshape([1, 8, c / 8, 1, 1]);
      return inSteps(grouped, [2, 3, 4], spread(weight), spread(bias)).reshape([n, c, h, w]);
    },
  }),
  normalization({
    name: 'layer-norm',
    peer: 'layer-norm-backward',
    sizes: { n: 8, c: 512, h: 1, w: 768 },
    small: { n: 2, c: 3, h: 1, w: 33 },
    parameters: ({ w }) => [w],
    run: (x, weight, bias, { w }) => layerNorm(x, w, { weight, bias }),
    steps: (x, weight, bias) => inSteps(x, [3], weight, bias),
  }),
];
