'use strict';
// A worker thread that trains the run of test/train/small-run.ts and posts a hash of its weights and losses.
require('../register-typescript.cjs');
const { createHash } = require('node:crypto');
const { parentPort, workerData } = require('node:worker_threads');
const { makeRun, weightsOf } = require('../train/small-run.ts');
const { fit } = require('../../lib/train/index.ts');

async function main() {
  const hashes = [];
  for (let run = 0; run < workerData.runs; run++) {
    const { model, loader, options, optimizer } = makeRun({ epochs: workerData.epochs });
    const { losses } = await fit(model, loader, options);
    const text = (await weightsOf(model)) + JSON.stringify(losses);
    hashes.push(createHash('sha256').update(text).digest('hex'));
    optimizer.dispose();
    model.dispose();
  }
  const { memory } = require('../../lib/index.ts');
  parentPort.postMessage({ hashes, left: memory().tensors });
}

void main();
