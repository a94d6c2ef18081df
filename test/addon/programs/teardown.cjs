'use strict';
// Leaves the environment at a given step of its life, as main thread (process.exit) or as worker
// (terminate): nothing may crash or hang.
const { Worker, isMainThread, workerData, parentPort } = require('node:worker_threads');

const STEPS = ['load', 'tensor', 'queued', 'reading', 'awaited', 'tidy', 'throwing'];

async function live(until, leave) {
  const { randn, tidy } = require('../../../dist/index.js');
  if (until === 'load') return leave();
  const x = randn([256, 256]);
  if (until === 'tensor') return leave();
  let y = x;
  for (let i = 0; i < 200; i++) y = y.matmul(x).tanh();
  if (until === 'queued') return leave();
  const reading = y.data();
  const others = [x.data(), y.sum().data()];
  if (until === 'reading') return leave();
  await reading;
  await Promise.all(others);
  if (until === 'awaited') return leave();
  if (until === 'tidy') {
    await tidy(async () => {
      const z = y.add(1);
      await z.data();
      leave();
      await z.add(1).data();
    });
  }
  if (until === 'throwing') {
    try {
      x.add(randn([3]));
    } catch {
      leave();
    }
  }
}

if (!isMainThread) {
  // Stops here, while the main thread terminates the worker.
  live(workerData, () => parentPort.postMessage('ready'));
} else if (process.argv[2] === 'workers') {
  (async () => {
    for (const step of STEPS) {
      const worker = new Worker(__filename, { workerData: step });
      await new Promise((resolve, reject) => worker.once('message', resolve).once('error', reject));
      await worker.terminate();
    }
    process.stdout.write('alive');
  })();
} else {
  live(process.argv[2], () => process.exit(0));
}
