// Benchmarks on a GPU:   npm run bench:cuda [-- filter... --small --no-peers --samples N --out FOLDER --host]
//
// Every operation of bench/cuda-cases.mjs: time of a call with the queue kept full, GB/s against the copy
// measured in the same run, TFLOP/s; and, where a Python with PyTorch for CUDA is found (FLUXION_BENCH_PYTHON, else
// python3), the best formulation of PyTorch in a process of its own: eager, channels-last and torch.compile, TF32
// off and on; tridiagonal systems by cuSPARSE where it has CuPy. Inputs rotate through more memory than the L2 cache has.
// Writes <date>-cuda-<gpu>.json, a table and charts (.svg, .png) beside it. --host: on the host execution layer that
// FLUXION_CUDA_PLUGIN names, to try the program; its times mean nothing.

import { mkdirSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { parseArgs } from 'node:util';
import { fileURLToPath } from 'node:url';
import * as f from '../dist/index.mjs';
import { cases } from './cuda-cases.mjs';
import { timesOfPeers } from './cuda-peers.mjs';
import { savePlots } from './cuda-plots.mjs';

const here = path.dirname(fileURLToPath(import.meta.url));
const ROTATED_BYTES = 512e6;
const SAMPLE_MS = 60;

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    small: { type: 'boolean', default: false },
    'no-peers': { type: 'boolean', default: false },
    host: { type: 'boolean', default: false },
    samples: { type: 'string', default: '9' },
    out: { type: 'string', default: path.join(here, 'results') },
  },
});

const median = (list) => [...list].sort((a, b) => a - b)[Math.floor(list.length / 2)];

/** Milliseconds of one call, the queue kept full: medians over samples of many calls. */
async function time(definition, samples) {
  const sets = Math.max(1, Math.min(8, Math.ceil(ROTATED_BYTES / definition.inputBytes)));
  const inputs = Array.from({ length: sets }, () => definition.make(f));
  const fence = f.zeros([1], { device: 'cuda' });
  const sample = async (calls) => {
    const start = performance.now();
    for (let i = 0; i < calls; i++) definition.run(f, inputs[i % sets]);
    await fence.data();
    return performance.now() - start;
  };
  await sample(Math.max(4, sets)); // plans, memory, the recording of captured steps
  let calls = 1;
  while (!values.small && (await sample(calls)) < SAMPLE_MS && calls < 4096) calls *= 2;
  const times = [];
  for (let i = 0; i < samples; i++) times.push((await sample(calls)) / calls);
  for (const set of inputs) {
    for (const value of Object.values(set)) value?.dispose?.();
  }
  fence.dispose();
  return { ms: median(times), best: Math.min(...times), calls, sets };
}

function tableOf(rows) {
  const cell = (value, digits = 3) => (value === null ? '' : value.toPrecision(digits));
  const lines = rows.map(({ name, ms, gbPerSecond, copyShare, tflops, peer }) =>
    [
      name,
      cell(ms, 4),
      cell(gbPerSecond),
      copyShare === null ? '' : `${(100 * copyShare).toFixed(0)} %`,
      cell(tflops),
      peer ? `${cell(peer.ms, 4)} (${peer.peer}: ${peer.formulation})` : '',
      peer ? `${cell(peer.ms / ms)}x` : '',
    ].join(' | '),
  );
  const head = 'case | ms | GB/s | of copy | TFLOP/s | peer, ms | ratio';
  return [head, head.replace(/[^|]+/g, ' --- '), ...lines].map((line) => `| ${line} |`).join('\n');
}

const gpu = f.devices().find(({ device }) => device === 'cuda:0');
if (!gpu) {
  const { reason } = f.devices().find(({ device }) => device.startsWith('cuda'));
  console.error(`bench:cuda needs a GPU: ${reason}`);
  process.exit(1);
}
if (gpu.name === 'host execution layer' && !values.host) {
  console.error(
    'bench:cuda needs a GPU: FLUXION_CUDA_PLUGIN names the host execution layer (--host runs on it)',
  );
  process.exit(1);
}
const chosen = cases(values.small).filter(
  ({ name }) => positionals.length === 0 || positionals.some((part) => name.includes(part)),
);
const rows = [];
for (const definition of chosen) {
  const { ms, best, calls, sets } = await time(definition, Number(values.samples));
  const gbPerSecond = definition.bytes ? definition.bytes / ms / 1e6 : null;
  const tflops = definition.flops ? definition.flops / ms / 1e9 : null;
  rows.push({ name: definition.name, ms, best, calls, sets, gbPerSecond, tflops });
  console.error(`${definition.name}: ${ms.toPrecision(4)} ms`);
}
const copy = Math.max(0, ...rows.filter(({ name }) => name.startsWith('copy')).map((r) => r.gbPerSecond)); // prettier-ignore
const peers = timesOfPeers(chosen, Number(values.samples), !values['no-peers']);
const results = rows.map((row) => ({
  ...row,
  copyShare: copy > 0 && row.gbPerSecond ? row.gbPerSecond / copy : null,
  peer: peers.rows[row.name] ?? null,
}));
const { version } = f.config();
const date = new Date().toISOString();
const record = { date, version, gpu, copyGBPerSecond: copy, peers: peers.about, rows: results };
mkdirSync(values.out, { recursive: true });
const stamp = date.slice(0, 19).replace(/[-:]/g, '').replace('T', '-');
const slug = gpu.name.toLowerCase().replace(/[^a-z0-9]+/g, '-');
const file = path.join(values.out, `${stamp}-cuda-${slug}`);
writeFileSync(`${file}.json`, `${JSON.stringify(record, null, 1)}\n`);
writeFileSync(`${file}.md`, `${tableOf(results)}\n`);
const plots = await savePlots(f, results, file);
console.log(tableOf(results));
console.log([`${file}.json`, `${file}.md`, ...plots].join('\n'));
