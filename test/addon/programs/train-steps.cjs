'use strict';
// Trains a small RDNN through train.fit, 5 epochs of 400 steps, and prints the live bytes after each epoch.
// In a worker when asked to.
const { Worker, isMainThread, parentPort } = require('node:worker_threads');

const SAMPLES = 1600;

async function run() {
  const fluxion = require('../../../dist/index.js');
  const { crossEntropy, data, manualSeed, memory, models, optim, train } = fluxion;
  manualSeed(1);
  const random = new data.Random(1);
  const images = Float32Array.from({ length: SAMPLES * 64 }, () => random.normal());
  const labels = Int32Array.from({ length: SAMPLES }, () => random.below(10));
  const loader = new data.DataLoader(
    {
      arrays: [
        { data: images, shape: [SAMPLES, 1, 8, 8] },
        { data: labels, shape: [SAMPLES] },
      ],
    },
    { batchSize: 4, shuffle: true, seed: 1 },
  );
  const model = new models.RDNN({ channels: [4, 6], layersPerBlock: 1 });
  const optimizer = new optim.AdamW(model.parameters(), { learningRate: 1e-3 });
  const bytes = [];
  await train.fit(model, loader, {
    loss: crossEntropy,
    optimizer,
    epochs: 5,
    callbacks: { onEpoch: () => void bytes.push(memory().bytes) },
  });
  optimizer.dispose();
  model.dispose();
  return { bytes, left: memory().tensors };
}

const report = (result) => process.stdout.write(JSON.stringify(result));
if (!isMainThread) {
  run().then((result) => parentPort.postMessage(result));
} else if (process.argv[2] === 'worker') {
  new Worker(__filename).on('message', report);
} else {
  run().then(report);
}
