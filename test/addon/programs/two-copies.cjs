'use strict';
// Two copies of the package in one process, as nested dependencies make them: argv[2] is the other one.
const assert = require('node:assert');
const a = require('../../../dist/index.js');
const b = require(process.argv[2]);

const message = (f) => {
  try {
    f();
    return '';
  } catch (error) {
    assert(error instanceof a.FluxionError || error instanceof b.FluxionError, String(error));
    return `${error instanceof a.FluxionError ? 'a' : 'b'} ${error.code} ${error.message}`;
  }
};

assert.notStrictEqual(a.Tensor, b.Tensor);
const x = a.tensor([1, 2, 3]);
assert.strictEqual(a.memory().tensors, 1);
assert.strictEqual(b.memory().tensors, 0);
assert.match(
  message(() => b.add(x, 1)),
  /^b FLUXION_INVALID_ARGUMENT add: .*another copy of fluxion/,
);
assert.match(
  message(() => a.add(x, a.tensor([1, 2]))),
  /^a FLUXION_SHAPE_MISMATCH add/,
);
assert.match(
  message(() => b.add(b.tensor([1]).dispose(), 1)),
  /^b FLUXION_INVALID_ARGUMENT/,
);
a.manualSeed(3);
b.manualSeed(3);
assert.deepStrictEqual(a.randn([5]).dataSync(), b.randn([5]).dataSync());
Promise.all([
  a
    .randn([300, 300])
    .matmul(a.randn([300, 300]))
    .data(),
  b.zeros([10]).data(),
]).then(() => {
  process.stdout.write('apart');
});
