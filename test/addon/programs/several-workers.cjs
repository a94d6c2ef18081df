'use strict';
// Workers compute at the same time, each with its own state; some are terminated in the middle.
const { Worker, isMainThread, workerData, parentPort } = require('node:worker_threads');

if (!isMainThread) {
  const { manualSeed, randn, tidy, memory } = require('../../../dist/index.js');
  manualSeed(workerData.seed);
  (async () => {
    let total = 0;
    for (let i = 0; i < workerData.steps; i++) {
      const s = tidy(() =>
        randn([64, 64])
          .matmul(randn([64, 64]))
          .sum(),
      );
      total += (await s.data())[0];
      s.dispose();
    }
    parentPort.postMessage({ total, tensors: memory().tensors });
  })();
} else {
  const start = (seed, steps) => new Worker(__filename, { workerData: { seed, steps } });
  (async () => {
    const doomed = [1, 2].map((seed) => start(seed, 1e9));
    const results = await Promise.all(
      [7, 7, 8].map(
        (seed) =>
          new Promise((resolve, reject) =>
            start(seed, 50).once('message', resolve).once('error', reject),
          ),
      ),
    );
    await Promise.all(doomed.map((worker) => worker.terminate()));
    // In the middle of loading, of a call, of an allocation, of a read: whatever it is just doing.
    for (let delay = 0; delay < 60; delay += 3) {
      const worker = start(1, 1e9);
      await new Promise((resolve) => setTimeout(resolve, delay));
      await worker.terminate();
    }
    process.stdout.write(JSON.stringify(results));
  })();
}
