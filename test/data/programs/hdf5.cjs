'use strict';
// Writes HDF5 files with h5wasm, reads them with Fluxion, prints what came. A process of its own: h5wasm is an ES
// module, which jest cannot import. argv: the folder for the files; 'missing' pretends that h5wasm is not installed.
const Module = require('node:module');
const path = require('node:path');
const { writeFileSync } = require('node:fs');
const fluxion = require('../../../dist/index.js');
const { data, memory } = fluxion;

const at = (name) => path.join(process.argv[2], name);
const show = (tensors) =>
  Object.fromEntries(
    Object.entries(tensors).map(([name, t]) => [name, [t.dtype, t.shape, [...t.dataSync()]]]),
  );
const failure = (promise) =>
  promise.then(
    () => 'no error',
    ({ code, message }) => [code, message],
  );

async function write() {
  const h5 = await import('h5wasm/node');
  await h5.ready;
  const file = new h5.File(at('a.h5'), 'w');
  file.create_dataset({
    name: 'field',
    data: Float32Array.from({ length: 24 }, (_, i) => i),
    shape: [4, 3, 2],
    chunks: [2, 3, 1],
    compression: 4,
  });
  file.create_dataset({ name: 'double', data: Float64Array.of(1.5, -2), shape: [2] });
  file.create_dataset({ name: 'bytes', data: Uint8Array.of(1, 255), shape: [2] });
  file.create_dataset({ name: 'ints', data: Int32Array.of(-1, 2), shape: [2] });
  file.create_dataset({ name: 'short', data: Int16Array.of(-3, 4), shape: [2] });
  file.create_dataset({ name: 'long', data: BigInt64Array.of(5n, -6n), shape: [2] });
  file.create_dataset({ name: 'number', data: 7.5 });
  file.create_dataset({ name: 'names', data: ['a', 'b'] });
  const group = file.create_group('run');
  group.create_dataset({ name: 'huge', data: BigInt64Array.of(2n ** 40n), shape: [1] });
  group.create_attribute('seed', 3);
  file.get('field').create_attribute('units', 'kg');
  file.create_attribute('title', 'test');
  const rows = 3000;
  file.create_dataset({
    name: 'large',
    data: Float32Array.from({ length: rows * 1000 }, (_, i) => i % 9973),
    shape: [rows, 1000],
  });
  file.close();
}

async function main() {
  const results = {};
  if (process.argv[3] === 'missing') {
    Module.register(`data:text/javascript,export async function resolve(name, context, next) {
      if (name.startsWith('h5wasm')) throw new Error('not found');
      return next(name, context);
    }`);
    results.missing = await failure(data.loadHdf5(at('a.h5')));
    return results;
  }
  await write();
  const small = ['field', 'double', 'bytes', 'ints', 'short', 'long', 'number'];
  const all = await data.loadHdf5(at('a.h5'), { datasets: small });
  results.all = show(all);
  for (const t of Object.values(all)) t.dispose();
  results.slice = show(
    await data.loadHdf5(at('a.h5'), { datasets: ['/field'], slice: [[1, 4, 2], null, [1, 2]] }),
  );
  results.empty = show(await data.loadHdf5(at('a.h5'), { datasets: ['field'], slice: [[2, 2]] }));
  const { large } = await data.loadHdf5(at('a.h5'), { datasets: ['large'] });
  const values = large.dataSync();
  results.large = values.every((v, i) => v === i % 9973) && values.length === 3e6;
  results.wide = show(
    await data.loadHdf5(at('a.h5'), { datasets: ['run/huge'], wideIntegers: 'float64' }),
  );
  const tensors = memory().tensors;
  results.huge = await failure(data.loadHdf5(at('a.h5')));
  results.leaked = memory().tensors - tensors;
  results.described = await data.describeHdf5(at('a.h5'));
  delete results.described.datasets.large;
  results.absent = await failure(data.loadHdf5(at('a.h5'), { datasets: ['nothing'] }));
  results.names = await failure(data.loadHdf5(at('a.h5'), { datasets: ['names'] }));
  results.range = await failure(data.loadHdf5(at('a.h5'), { datasets: ['ints'], slice: [[0, 3]] }));
  results.dims = await failure(
    data.loadHdf5(at('a.h5'), { datasets: ['ints'], slice: [null, null] }),
  );
  writeFileSync(at('b.h5'), 'no HDF5 file, but some text');
  results.corrupt = await failure(data.loadHdf5(at('b.h5')));
  results.enoent = await failure(data.loadHdf5(at('c.h5')));
  return results;
}

main().then(
  (results) => console.log(JSON.stringify(results)),
  (error) => {
    console.error(error);
    process.exitCode = 1;
  },
);
