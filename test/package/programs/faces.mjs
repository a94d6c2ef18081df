// import and require give the same objects.
import { createRequire } from 'node:module';
import * as esm from 'fluxion';

const cjs = createRequire(import.meta.url)('fluxion');
const names = Object.keys(cjs);
const other = names.filter((name) => esm[name] !== cjs[name]);
const extra = Object.keys(esm).filter((name) => !names.includes(name));
console.log(
  JSON.stringify({ count: names.length, other, extra, sum: esm.tensor([1, 2]).sum().item() }),
);
