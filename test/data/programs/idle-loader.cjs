'use strict';
// Leaves a loop over a loader with a worker after one batch and ends: an idle worker must not hold the process.
const { data } = require('../../../dist/index.js');

const arrays = [{ data: new Float32Array(2000), shape: [1000, 2] }];
const loader = new data.DataLoader({ arrays }, { batchSize: 10, workers: 2, prefetch: 4 });
(async () => {
  for (const epoch of [0, 1]) {
    for await (const [batch] of loader) {
      console.log(epoch, batch.shape.join());
      break;
    }
  }
  const samples = { module: './test/data/programs/augment.cjs', export: 'samples' };
  const main = new data.DataLoader(
    { ...samples, options: { length: 4 }, length: 4 },
    { batchSize: 4 },
  );
  for await (const [, labels] of main) console.log(2, JSON.stringify(await labels.toArray()));
})();
