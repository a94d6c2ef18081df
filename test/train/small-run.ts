import { manualSeed } from '../../lib/tensor/generator';
import type { Tensor } from '../../lib/tensor/tensor';
import { crossEntropy } from '../../lib/ops';
import {
  BatchNorm2d,
  Conv2d,
  Dropout,
  Flatten,
  Linear,
  MaxPool2d,
  Module,
  Sequential,
} from '../../lib/nn';
import { DataLoader, Random, gaussianNoise } from '../../lib/data';
import { AdamW, OneCycleLR } from '../../lib/optim';
import type { FitOptions } from '../../lib/train';

const SIDE = 6;

/** A small network with everything that has a state: batch statistics and dropout. */
export class Network extends Module {
  readonly layers = new Sequential(
    new Conv2d(1, 4, 3, { padding: 1 }),
    new BatchNorm2d(4),
    new MaxPool2d(2),
    new Flatten(),
    new Dropout(0.2),
    new Linear(4 * (SIDE / 2) ** 2, 2),
  );

  forward(x: Tensor): Tensor {
    return this.layers.forward(x);
  }
}

/** Images with a bright upper or lower half, and noise. */
export function halves(count: number, seed: number) {
  const random = new Random(seed);
  const images = new Float32Array(count * SIDE * SIDE);
  const labels = new Int32Array(count);
  for (let n = 0; n < count; n++) {
    labels[n] = random.below(2);
    for (let i = 0; i < SIDE * SIDE; i++) {
      const bright = i < (SIDE * SIDE) / 2 === (labels[n] === 0);
      images[n * SIDE * SIDE + i] = (bright ? 0.8 : 0) + random.normal();
    }
  }
  return {
    arrays: [
      { data: images, shape: [count, 1, SIDE, SIDE] },
      { data: labels, shape: [count] },
    ],
  };
}

/** A run that is the same whenever it is made anew. */
export function makeRun({ epochs = 3, samples = 160 } = {}) {
  manualSeed(11);
  const model = new Network();
  const loader = new DataLoader(halves(samples, 1), {
    batchSize: 16,
    shuffle: true,
    seed: 2,
    transform: gaussianNoise(0.01),
  });
  const optimizer = new AdamW(model.parameters(), { learningRate: 0.01 });
  const options: FitOptions & { optimizer: AdamW } = {
    loss: (output, target) => crossEntropy(output, target),
    optimizer,
    scheduler: new OneCycleLR(optimizer, 0.02, { totalSteps: epochs * loader.length }),
    epochs,
  };
  return { model, loader, options, optimizer };
}

/** All numbers of a model, to compare bit for bit. */
export async function weightsOf(model: Module): Promise<string> {
  const parts = Object.entries(model.stateDict()).map(async ([name, tensor]) => {
    const data = await tensor.data();
    return `${name} ${Buffer.from(data.buffer, data.byteOffset, data.byteLength).toString('hex')}`;
  });
  return (await Promise.all(parts)).join('\n');
}
