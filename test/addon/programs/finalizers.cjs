'use strict';
// Run with --expose-gc: collected tensors are released when the event loop turns.
const { memory, tensor } = require('../../../dist/index.js');

async function main() {
  const kept = tensor([1, 2, 3]);
  (() => {
    for (let i = 0; i < 500; i++) tensor([i]).mul(2);
  })();
  const before = memory().tensors;
  for (let i = 0; i < 10 && memory().tensors > 1; i++) {
    global.gc();
    await new Promise((resolve) => setImmediate(resolve));
  }
  process.stdout.write(JSON.stringify({ before, after: memory().tensors, sum: kept.sum().item() }));
}
main();
