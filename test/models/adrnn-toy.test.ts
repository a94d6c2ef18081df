// The toy problem of the paper: one layer moves an object from one corner of an image to the other, further than
// convolutions of one residual layer see. Also examples/adrnn-toy.mjs, with pictures.
import {
  type Tensor,
  implicitDiffusion2d,
  manualSeed,
  models,
  noGrad,
  optim,
  tensor,
  tidy,
} from '../../lib';

const SIDE = 24;
const WAY = 13;
const STEPS = 200;

/** Rectangles in the upper left corner, and the same at the lower right. */
function scenes(random: () => number, count: number): [Tensor, Tensor] {
  const fields = [0, WAY].map(() => new Float32Array(count * SIDE * SIDE));
  const below = (n: number) => Math.floor(n * random());
  for (let k = 0; k < count; k++) {
    const [width, height, left, top] = [3 + below(4), 3 + below(4), below(5), below(5)];
    for (let i = 0; i < height; i++) {
      for (let j = 0; j < width; j++) {
        const cell = (k * SIDE + top + i) * SIDE + left + j;
        fields[0]![cell] = 1;
        fields[1]![cell + WAY * (SIDE + 1)] = 1;
      }
    }
  }
  const [input, target] = fields.map((f) => tensor(f, { shape: [count, 1, SIDE, SIDE] }));
  return [input!, target!];
}

function numbers(state: number): () => number {
  return () => (state = (Math.imul(state, 1664525) + 1013904223) >>> 0) / 2 ** 32;
}

const misfit = (output: Tensor, target: Tensor) =>
  output.sub(target).square().mean().div(target.square().mean());

/** Trains on the misfit of smoothed fields, ever less smooth; returns the plain misfit on new scenes. */
function errorAfterTraining(model: models.ADRLayer | models.MFCNet): number {
  const random = numbers(7);
  const optimizer = new optim.Adam(model.parameters(), { learningRate: 0.01 });
  for (let i = 0; i < STEPS; i++) {
    optimizer.learningRate = 0.01 * Math.min(1, (6 * (i + 1)) / STEPS, 3 * (1 - i / STEPS) + 0.02);
    optimizer.zeroGrad();
    tidy(() => {
      const [input, target] = scenes(random, 8);
      const width = 1000 * 1e-4 ** Math.min(1, (1.25 * i) / STEPS);
      const smooth = (u: Tensor) => implicitDiffusion2d(u, width, { dt: 1 });
      misfit(smooth(model.forward(input)), smooth(target)).backward();
      optim.clipGradNorm(optimizer.parameters(), 1).dispose();
      optimizer.step();
    });
  }
  const [input, target] = scenes(numbers(99), 32);
  return noGrad(() => tidy(() => misfit(model.forward(input), target).item()));
}

test.each([1, 2, 3])('one ADR layer moves an object across the image, seed %i', (seed) => {
  manualSeed(seed);
  const layer = new models.ADRLayer(1, {
    ...{ transport: 'mass', velocityChannels: 8, hidden: 8, activation: 'tanh' },
    diffusionOptions: { initial: [0.01, 0.1] },
  });
  expect(errorAfterTraining(layer)).toBeLessThan(0.1);
});

test('one residual layer does not', () => {
  manualSeed(1);
  const layer = new models.MFCNet({ channels: 8, blocks: 1, convolution: '3x3' });
  expect(errorAfterTraining(layer)).toBeGreaterThan(0.8);
});
