import { type Tensor, optim, randn, tidy } from 'fluxion';
import { type Case, TORCH, defineCase, expectClose } from '../case';

/** Parameters with gradients: `tensors` of equal size. */
function parameters(tensors: number, size: number): Tensor[] {
  return Array.from({ length: tensors }, (_, i) => {
    const parameter = randn([size], { seed: i });
    parameter.requiresGrad = true;
    parameter.grad = randn([size], { seed: 1000 + i });
    return parameter;
  });
}

const SIZES = { tensors: 60, size: 17_476 };
const SMALL = { tensors: 3, size: 5 };

/** One step over a million parameters in 60 tensors; models, with their moments, take turns. */
const adam = defineCase({
  name: 'adam/60-tensors',
  peer: 'adam',
  peers: TORCH,
  dtype: 'float32',
  sizes: SIZES,
  small: SMALL,
  // Reads parameter, gradient and two moments, writes all but the gradient.
  floors: ({ tensors, size }) => ({ bytes: 28 * tensors * size, flops: 15 * tensors * size }),
  inputBytes: ({ tensors, size }) => 16 * tensors * size,
  setup: ({ tensors, size }, sets) => {
    const models = Array.from({ length: sets }, () => {
      const params = parameters(tensors, size);
      const optimizer = new optim.Adam(params, { learningRate: 1e-3 });
      optimizer.step(); // makes the moments, which later steps only change
      return { params, optimizer };
    });
    return {
      run: (set) => models[set]!.optimizer.step(),
      verify: () => {
        // The first step moves every parameter by the learning rate against the sign of its gradient.
        const [first] = parameters(1, size) as [Tensor];
        const [g] = [first.grad!.dataSync()];
        const before = first.dataSync();
        new optim.Adam([first]).step();
        first.dataSync().forEach((p, i) => {
          const slope = g[i]! / (Math.abs(g[i]!) + 1e-8);
          expectClose(`parameter ${i}`, p, before[i]! - 1e-3 * slope, 1e-6);
        });
      },
    };
  },
});

/** The norm of the gradients of the same model, and the gradients scaled to half of it. */
const clip = defineCase({
  name: 'clip-grad-norm/60-tensors',
  peer: 'clip-grad-norm',
  peers: TORCH,
  dtype: 'float32',
  sizes: SIZES,
  small: SMALL,
  // A read for the norm, a read and a write to scale.
  floors: ({ tensors, size }) => ({ bytes: 12 * tensors * size, flops: 3 * tensors * size }),
  inputBytes: ({ tensors, size }) => 4 * tensors * size,
  setup: ({ tensors, size }, sets) => {
    const models = Array.from({ length: sets }, () => parameters(tensors, size));
    const run = (set: number) => optim.clipGradNorm(models[set]!, 1e-3);
    return {
      run,
      verify: () => {
        const squares = models[0]!.flatMap(({ grad }) => [...grad!.dataSync()].map((g) => g * g));
        const expected = Math.sqrt(squares.reduce((a, b) => a + b, 0));
        const norm = tidy(() => run(0).item());
        expectClose('norm', norm / expected, 1, 1e-6);
        expectClose('norm after', tidy(() => run(0).item()) / 1e-3, 1, 1e-4);
      },
    };
  },
});

export const OPTIMIZER: readonly Case[] = [adam, clip];
