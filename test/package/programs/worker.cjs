'use strict';
// A worker thread loads the package, computes and ends.
const { Worker, isMainThread, parentPort } = require('node:worker_threads');
const { tensor } = require('fluxion');

if (isMainThread) {
  const worker = new Worker(__filename);
  worker.once('message', (sum) => {
    worker.once('exit', (code) => console.log(JSON.stringify({ sum, code })));
  });
} else {
  parentPort.postMessage(tensor([1, 2, 3]).sum().item());
}
