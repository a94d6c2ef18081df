'use strict';
// Modules that a loader imports by name, in the main thread or in a worker.

/** Adds `by` to the first array, and a number drawn for each batch to its first element. */
exports.shift =
  ({ by }) =>
  ([x, ...rest], random) => {
    const data = Float32Array.from(x.data, (value) => value + by);
    if (data.length > 0) data[0] += random.uniform();
    return [{ data, shape: x.shape }, ...rest];
  };

/** Samples whose number `bad` cannot be read. */
exports.samples = ({ length, bad = -1 }) => ({
  length,
  get(i) {
    if (i === bad) throw new RangeError(`no sample ${i}`);
    return Promise.resolve([{ data: Float32Array.of(2 * i, 2 * i + 1), shape: [2] }, i]);
  },
});

exports.ends = () => () => process.exit(3);
exports.number = 7;
