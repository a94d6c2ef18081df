'use strict';
// Drops tensors without releasing them, in one synchronous loop: the sweep must bound the memory.
const { memory, zeros } = require('../../../dist/index.js');

let highest = 0;
for (let i = 0; i < 3000; i++) {
  zeros([1000, 1000]).add(1);
  highest = Math.max(highest, memory().bytes);
}
process.stdout.write(JSON.stringify({ highest, rss: process.memoryUsage().rss }));
