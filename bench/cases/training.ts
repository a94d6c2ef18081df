import {
  type Tensor,
  crossEntropy,
  data,
  manualSeed,
  models,
  mseLoss,
  optim,
  randint,
  tidy,
} from 'fluxion';
import { type Case, TORCH, defineCase, expectClose, inputSets } from '../case';

/** Multiply-adds of the convolutions of the network, times 2; backward costs twice the forward. */
function networkFlops(batch: number, side: number, layers: number): number {
  const [wide, narrow] = [batch * side * side, (batch * side * side) / 4];
  const open = 9 * 1 * 32 * wide + 9 * 32 * 64 * narrow;
  const reactions = layers * ((9 + 1) * 32 * 32 * wide + (9 + 1) * 64 * 64 * narrow);
  return 6 * (open + reactions);
}

/** What a layer must at least move, in fields of its block: conv, norm and relu, conv, diffusion. */
function networkBytes(batch: number, side: number, layers: number): number {
  const field = 4 * batch * side * side * (32 + 64 / 4);
  const forward = 2 + 3 + 2 + 2;
  const backward = 4 + 3 + 4 + 3;
  return field * layers * (forward + backward);
}

function total(values: ArrayLike<number>): number {
  let sum = 0;
  for (let i = 0; i < values.length; i++) sum += values[i]!;
  return sum;
}

const rdnnStep = defineCase({
  name: 'rdnn/training-step',
  peer: 'rdnn',
  peers: TORCH,
  dtype: 'float32',
  sizes: { batch: 64, side: 28, layers: 4 },
  small: { batch: 4, side: 8, layers: 1 },
  floors: ({ batch, side, layers }) => ({
    bytes: networkBytes(batch, side, layers),
    flops: networkFlops(batch, side, layers),
  }),
  inputBytes: ({ batch, side }) => 4 * batch * side * side,
  setup: ({ batch, side, layers }, sets) => {
    manualSeed(1);
    const model = new models.RDNN({ channels: [32, 64], layersPerBlock: layers });
    const optimizer = new optim.Adam(model.parameters(), { learningRate: 1e-3 });
    const images = inputSets(Math.min(sets, 64), [batch, 1, side, side]);
    const labels = randint(0, 10, [batch], { seed: 2 });
    const lossOf = (x: Tensor) => crossEntropy(model.forward(x), labels);
    const run = (set: number) => {
      optimizer.zeroGrad();
      const loss = lossOf(images[set % images.length]!);
      loss.backward();
      optimizer.step();
      return loss;
    };
    return {
      run,
      // No closed form: the loss of fresh weights is near that of guessing, and steps on one batch lower it.
      verify: () => {
        const first = tidy(() => run(0).item());
        expectClose('first loss / log(classes)', first / Math.log(10), 1, 0.5);
        let last = first;
        for (let i = 0; i < 10; i++) last = tidy(() => run(0).item());
        if (!(last < first)) throw new Error(`loss: expected less than ${first}, got ${last}`);
      },
    };
  },
});

/** A forward pass; the backward pass costs twice as much. */
function adrnnFlops(s: { batch: number; side: number; channels: number; layers: number }): number {
  const pixels = s.batch * s.side * s.side;
  const perLayer = 9 * s.channels * (s.channels + 2) + 2 * s.channels * s.channels;
  return 6 * pixels * s.layers * perLayer;
}

const adrnnStep = defineCase({
  name: 'adrnn/training-step',
  peer: 'adrnn',
  peers: TORCH,
  dtype: 'float32',
  sizes: { batch: 8, side: 64, channels: 64, layers: 4, fields: 1 },
  small: { batch: 2, side: 8, channels: 4, layers: 1, fields: 1 },
  floors: (s) => ({
    // Forward: the hidden velocity written and read twice over, the step read and written; backward twice that.
    bytes: 3 * 6 * 4 * s.layers * s.batch * s.channels * s.side ** 2,
    flops: adrnnFlops(s),
  }),
  inputBytes: (s) => 4 * s.batch * s.fields * s.side ** 2,
  setup: ({ batch, side, channels, layers, fields }, sets) => {
    manualSeed(1);
    const model = new models.ADRNN({ inChannels: fields, channels, layers });
    const optimizer = new optim.Adam(model.parameters(), { learningRate: 1e-3 });
    const inputs = inputSets(Math.min(sets, 64), [batch, fields, side, side]);
    const run = (set: number) => {
      const x = inputs[set % inputs.length]!;
      optimizer.zeroGrad();
      const loss = mseLoss(model.forward(x), x);
      loss.backward();
      optimizer.step();
      return loss;
    };
    return {
      run,
      // No closed form: steps on one batch lower the loss.
      verify: () => {
        const first = tidy(() => run(0).item());
        let last = first;
        for (let i = 0; i < 10; i++) last = tidy(() => run(0).item());
        if (!(last < first)) throw new Error(`loss: expected less than ${first}, got ${last}`);
      },
    };
  },
});

const dataLoader = defineCase({
  name: 'data-loader/epoch',
  peer: 'data-loader',
  peers: ['torch'],
  dtype: 'float32',
  sizes: { samples: 10_000, side: 28, batch: 128 },
  small: { samples: 50, side: 4, batch: 8 },
  // Reading uint8 images, writing float32 tensors.
  floors: ({ samples, side }) => ({
    bytes: 5 * samples * side * side,
    flops: samples * side * side,
  }),
  inputBytes: () => 0,
  setup: ({ samples, side, batch }) => {
    const random = new data.Random(1);
    const images = Uint8Array.from({ length: samples * side * side }, () => random.below(256));
    const labels = Uint8Array.from({ length: samples }, (_, i) => i % 251);
    const loader = new data.DataLoader(
      {
        arrays: [
          { data: images, shape: [samples, side, side] },
          { data: labels, shape: [samples] },
        ],
      },
      { batchSize: batch, shuffle: true, seed: 1, transform: data.scaleImages() },
    );
    const epoch = async (visit: (images: Tensor, labels: Tensor) => void) => {
      for await (const [x, y] of loader) {
        visit(x!, y!);
        x!.dispose();
        y!.dispose();
      }
    };
    return {
      run: () => epoch(() => undefined),
      verify: async () => {
        let seen = 0;
        let labelSum = 0;
        let pixelSum = 0;
        await epoch((x, y) => {
          seen += y.size;
          labelSum += total(y.dataSync());
          pixelSum += total(x.dataSync());
        });
        expectClose('samples', seen, samples, 0);
        expectClose('labels', labelSum, total(labels), 0);
        const expected = total(images) / 255;
        expectClose('pixels', pixelSum / expected, 1, 1e-5);
      },
    };
  },
});

export const TRAINING: readonly Case[] = [rdnnStep, adrnnStep, dataLoader];
