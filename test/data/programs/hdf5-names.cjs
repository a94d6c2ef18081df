'use strict';
// Writes an HDF5 file with names that every JavaScript object has, reads it with Fluxion, prints names and numbers. A
// process of its own, as hdf5.cjs. argv: the file.
const { data } = require('../../../dist/index.js');

async function main() {
  const h5 = await import('h5wasm/node');
  await h5.ready;
  const file = new h5.File(process.argv[2], 'w');
  const names = ['__proto__', 'constructor'];
  names.forEach((name, i) =>
    file.create_dataset({ name, data: Float32Array.of(i + 1), shape: [1] }),
  );
  file.close();
  const tensors = await data.loadHdf5(process.argv[2]);
  const found = Object.keys(tensors).sort();
  console.log(JSON.stringify(found), JSON.stringify(found.map((n) => tensors[n].dataSync()[0])));
}

void main();
