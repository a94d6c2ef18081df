// The registers, spilled bytes and stack of each CUDA kernel, from the report of ptxas that build:cuda keeps.
//   node scripts/cuda-resources.mjs [--write]
// Compares with cuda/resources.json: a kernel that spills more than is recorded there is an error, a kernel that is
// gone or new only a line. --write records what was found.

import { spawnSync } from 'node:child_process';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { parseArgs } from 'node:util';
import { fileURLToPath } from 'node:url';

const root = path.dirname(path.dirname(fileURLToPath(import.meta.url)));
const table = path.join(root, 'cuda/resources.json');
const { values } = parseArgs({
  options: {
    write: { type: 'boolean', default: false },
    log: { type: 'string', default: path.join(root, 'build/cuda/ptxas.log') },
  },
});

/** Kernels with their template arguments, from mangled names. */
function namesOf(mangled) {
  const { stdout, status } = spawnSync('c++filt', { input: mangled.join('\n'), encoding: 'utf8' });
  if (status !== 0) throw new Error('c++filt, which comes with the compiler, could not be run');
  return stdout
    .trim()
    .split('\n')
    .map((name) =>
      name
        .replace(/^void /, '')
        .replace(/_GLOBAL__N__\w+?::|\(anonymous namespace\)::|fluxion::cuda::/g, '')
        .replace(/\(\w+(?:::\w+)*\)(?=\d)/g, '') // casts of enumerators
        .replace(/\((?!.*>).*$/, '')
        .replace(/>\(.*$/, '>'),
    );
}

function readLog(text) {
  const found = {};
  let kernel, spills;
  for (const line of text.split('\n')) {
    const entry = /Compiling entry function '([^']+)' for 'sm_(\d+)'/.exec(line);
    if (entry) kernel = entry[2] === '90' ? entry[1] : undefined;
    const spill = /(\d+) bytes stack frame, (\d+) bytes spill stores/.exec(line);
    if (spill) spills = { stack: Number(spill[1]), spilled: Number(spill[2]) };
    const used = /Used (\d+) registers/.exec(line);
    if (used && kernel) {
      found[kernel] = { registers: Number(used[1]), ...spills };
      kernel = undefined;
    }
  }
  const mangled = Object.keys(found);
  return Object.fromEntries(namesOf(mangled).map((name, i) => [name, found[mangled[i]]]));
}

if (!existsSync(values.log)) {
  console.error(`${values.log} is missing: npm run build:cuda`);
  process.exit(1);
}
const found = readLog(readFileSync(values.log, 'utf8'));
const kernels = Object.entries(found).sort(([a], [b]) => (a < b ? -1 : 1));
const most = Math.max(...kernels.map(([, { registers }]) => registers));
const spilling = kernels.filter(([, { spilled }]) => spilled > 0);
console.log(
  `${kernels.length} kernels for sm_90, at most ${most} registers, ${spilling.length} spill`,
);
if (values.write) {
  const lines = kernels.map(
    ([name, { registers, stack, spilled }]) =>
      `  ${JSON.stringify(name)}: [${registers}, ${stack}, ${spilled}]`,
  );
  writeFileSync(table, `{\n${lines.join(',\n')}\n}\n`);
  process.exit(0);
}
const recorded = JSON.parse(readFileSync(table, 'utf8'));
let worse = 0;
for (const [name, { spilled }] of kernels) {
  const before = recorded[name];
  if (!before) console.log(`new: ${name}`);
  if (spilled > (before?.[2] ?? 0)) {
    console.error(`${name} spills ${spilled} bytes, recorded: ${before?.[2] ?? 0}`);
    worse++;
  }
}
process.exit(worse > 0 ? 1 : 0);
