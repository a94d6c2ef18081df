// What loading the package costs a program: `import` and `require` of it in a process of its own, the clock started
// after Node.js itself has.
//
//     npm run bench:import [-- --runs N]
//
// The goal: below 60 ms.

import { execFileSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';

const { values } = parseArgs({ options: { runs: { type: 'string', default: '21' } } });
const runs = Number(values.runs);
const dist = fileURLToPath(new URL('../dist/', import.meta.url));

const WAYS = {
  import: ['--input-type=module', `await import(${JSON.stringify(`${dist}index.mjs`)})`],
  require: ['--input-type=commonjs', `require(${JSON.stringify(`${dist}index.js`)})`],
};

/** Wall time and processor time of loading, in ms. */
function load([type, load]) {
  const program = `const cpu = process.cpuUsage(), start = performance.now(); ${load};
    const wall = performance.now() - start, { user, system } = process.cpuUsage(cpu);
    console.log(JSON.stringify([wall, (user + system) / 1000]));`;
  return JSON.parse(execFileSync(process.execPath, [type, '-e', program], { encoding: 'utf8' }));
}

const samples = Object.fromEntries(Object.keys(WAYS).map((name) => [name, []]));
for (let i = 0; i < runs + 1; i++) {
  for (const [name, way] of Object.entries(WAYS)) {
    const sample = load(way);
    if (i > 0) samples[name].push(sample); // the first fills the cache of the file system
  }
}
for (const [name, list] of Object.entries(samples)) {
  const sorted = (k) => list.map((sample) => sample[k]).sort((a, b) => a - b);
  const [wall, cpu] = [sorted(0), sorted(1)];
  const show = (times) =>
    `${times[times.length >> 1].toFixed(1)} ms (${times[0].toFixed(1)} to ${times.at(-1).toFixed(1)})`;
  console.log(`${name.padEnd(8)} ${show(wall)}, processor ${show(cpu)}`);
}
