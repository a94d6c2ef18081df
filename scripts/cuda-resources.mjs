// The registers, spilled bytes and stack of each CUDA kernel, from the report of ptxas that build:cuda keeps.
//   node scripts/cuda-resources.mjs [--write]
// Compares with cuda/resources.json: a kernel that spills more than is recorded there is an error, a kernel that is
// gone or new only a line. --write records what was found.

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

/** Short name of a mangled kernel: its own name and a tag of its template arguments. */
function nameOf(mangled) {
  const [, length] = /^_ZN7fluxion4cuda(?:12_GLOBAL__N_1|\d*_GLOBAL__N__[0-9a-f]+_[^E]*?)?(\d+)/.exec(mangled) ?? []; // prettier-ignore
  if (length === undefined) return mangled;
  const at = mangled.indexOf(length, 16) + length.length;
  const name = mangled.slice(at, at + Number(length));
  const rest = mangled.slice(at + Number(length)).replace(/N?7fluxion4cuda|_GLOBAL__N__[0-9a-f]+_\d+_[a-z_]+_cu_[0-9a-f]+(_\d+)?/g, ''); // prettier-ignore
  return `${name} ${rest.slice(0, 60)}`;
}

function readLog(text) {
  const found = {};
  let kernel, spills;
  for (const line of text.split('\n')) {
    const entry = /Compiling entry function '([^']+)' for 'sm_(\d+)'/.exec(line);
    if (entry) kernel = entry[2] === '90' ? nameOf(entry[1]) : undefined;
    const spill = /(\d+) bytes stack frame, (\d+) bytes spill stores/.exec(line);
    if (spill) spills = { stack: Number(spill[1]), spilled: Number(spill[2]) };
    const used = /Used (\d+) registers/.exec(line);
    if (used && kernel) {
      found[kernel] = { registers: Number(used[1]), ...spills };
      kernel = undefined;
    }
  }
  return found;
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
