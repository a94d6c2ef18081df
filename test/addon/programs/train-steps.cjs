'use strict';
// Trains a small RDNN by hand and prints live bytes along the way. In a worker when asked to.
const { Worker, isMainThread, parentPort } = require('node:worker_threads');

async function run() {
  const fluxion = require('../../../dist/index.js');
  const { models, optim, tidy, memory, randn, randint, crossEntropy, manualSeed } = fluxion;
  manualSeed(1);
  const model = new models.RDNN({ channels: [4, 6], layersPerBlock: 1 });
  const optimizer = new optim.AdamW(model.parameters(), { learningRate: 1e-3 });
  const bytes = [];
  for (let step = 1; step <= 2000; step++) {
    const loss = tidy(() => {
      const x = randn([4, 1, 8, 8]);
      const y = randint(0, 10, [4], { dtype: 'int32' });
      optimizer.zeroGrad();
      const value = crossEntropy(model.forward(x), y);
      value.backward();
      optimizer.step();
      return value.detach();
    });
    if (step % 10 === 0) await loss.data();
    loss.dispose();
    if (step % 400 === 0) bytes.push(memory().bytes);
  }
  const { tensors } = memory();
  optimizer.dispose();
  model.dispose();
  return { bytes, tensors, left: memory().tensors };
}

const report = (result) => process.stdout.write(JSON.stringify(result));
if (!isMainThread) {
  run().then((result) => parentPort.postMessage(result));
} else if (process.argv[2] === 'worker') {
  new Worker(__filename).on('message', report);
} else {
  run().then(report);
}
