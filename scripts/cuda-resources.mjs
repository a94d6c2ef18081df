// The registers, stack, spilled bytes and static shared memory of each CUDA kernel, as ptxas reports them for sm_90.
//   node scripts/cuda-resources.mjs [--all]    renews cuda/resources.json
//   node scripts/cuda-resources.mjs --check    compares with it
//
// For each file of kernels the table has a digest of what decides about them: the source with what it includes,
// without comments and without headers that are for the host alone, the options and the version of nvcc. Only files
// whose digest differs are compiled again (--all: every one), at full optimisation. --check fails where a figure
// differs, and where more files differ than it may take time for; another nvcc gives other figures, and is not compared.

import { spawn, spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, readFileSync, readdirSync, writeFileSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { parseArgs } from 'node:util';
import { fileURLToPath } from 'node:url';

const root = path.dirname(path.dirname(fileURLToPath(import.meta.url)));
const folder = path.join(root, 'cuda');
const tableFile = path.join(folder, 'resources.json');
const ARCHITECTURE = 'sm_90';
/** What --check compiles: some 10 s of a processor each. */
const MOST_FILES = 10;
const MOST_LINES = 40;
/** Headers that no kernel depends on. */
const HOST_ONLY =
  /^(?:cuda\/(?:kernel|kernel_table|queue|graph|profile|settings)\.h|native\/(?:core|backend)\/.*|native\/ops\/(?:op|registry)\.h|native\/ops\/ops\.def)$/;

const { values } = parseArgs({
  options: { all: { type: 'boolean', default: false }, check: { type: 'boolean', default: false } },
});

const options = [
  ...[`-arch=${ARCHITECTURE}`, '-std=c++20', '-DNDEBUG', '-Icuda', '-Inative'],
  ...readFileSync(path.join(folder, 'nvcc.options'), 'utf8').trim().split('\n'),
];

function compilerVersion() {
  const { stdout, error } = spawnSync('nvcc', ['--version'], { encoding: 'utf8' });
  if (error) throw new Error(`cannot run nvcc: ${error.message}`);
  return /V(\d+\.\d+\.\d+)/.exec(stdout)[1];
}

/** Adds to `texts` a source and what it includes of this repository, by path. */
function readIncluded(file, texts) {
  const name = path.relative(root, file);
  if (texts.has(name)) return;
  const text = readFileSync(file, 'utf8');
  texts.set(name, HOST_ONLY.test(name) ? '' : text.replace(/\/\/.*$/gm, '').replace(/\s+/g, ' '));
  for (const [, header] of text.matchAll(/^#include "([^"]+)"/gm)) {
    const found = [path.dirname(file), folder, path.join(root, 'native')]
      .map((place) => path.join(place, header))
      .find((candidate) => existsSync(candidate));
    if (found) readIncluded(found, texts); // what the host execution layer has is not for nvcc
  }
}

function digestOf(name, compiler) {
  const texts = new Map();
  readIncluded(path.join(folder, name), texts);
  const hash = createHash('sha256').update(JSON.stringify([compiler, options]));
  for (const each of [...texts].sort(([a], [b]) => (a < b ? -1 : 1))) hash.update(each.join('\0'));
  return hash.digest('hex').slice(0, 16);
}

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

/** Kernel -> [registers, stack, spilled bytes, static shared memory], from the report of ptxas. */
function readReport(text) {
  const found = new Map();
  let [kernel, stack, spilled] = [undefined, 0, 0];
  for (const line of text.split('\n')) {
    kernel = /Compiling entry function '([^']+)'/.exec(line)?.[1] ?? kernel;
    const frame = /(\d+) bytes stack frame, (\d+) bytes spill stores/.exec(line);
    if (frame) [stack, spilled] = [Number(frame[1]), Number(frame[2])];
    const used = /Used (\d+) registers/.exec(line);
    if (!used || !kernel) continue;
    const shared = Number(/(\d+) bytes smem/.exec(line)?.[1] ?? 0);
    found.set(kernel, [Number(used[1]), stack, spilled, shared]);
    kernel = undefined;
  }
  if (found.size === 0) return {};
  const names = namesOf([...found.keys()]);
  const kernels = [...found.values()].map((figures, i) => [names[i], figures]);
  return Object.fromEntries(kernels.sort(([a], [b]) => (a < b ? -1 : 1)));
}

function compile(name) {
  const args = [...options, '-cubin', '-Xptxas=-v', '-o', '/dev/null', `cuda/${name}`];
  return new Promise((resolve, reject) => {
    const child = spawn('nvcc', args, { cwd: root });
    let log = '';
    child.stdout.on('data', (data) => (log += data));
    child.stderr.on('data', (data) => (log += data));
    child.on('error', reject);
    child.on('close', (status) =>
      status === 0 ? resolve(readReport(log)) : reject(new Error(`${name}:\n${log.slice(-4000)}`)),
    );
  });
}

/** File -> its kernels, as many at a time as there are processors. */
async function compileAll(names) {
  const left = [...names];
  const found = new Map();
  const work = async () => {
    for (let name = left.shift(); name; name = left.shift()) found.set(name, await compile(name));
  };
  await Promise.all(Array.from({ length: os.availableParallelism() }, work));
  return found;
}

/** What differs between the kernels of a file and those recorded. */
function differences(name, kernels, recorded = {}) {
  return [...new Set([...Object.keys(kernels), ...Object.keys(recorded)])].flatMap((kernel) => {
    const [now, before] = [kernels[kernel], recorded[kernel]].map(
      (figures) => figures && `[${figures.join(', ')}]`,
    );
    return now === before
      ? []
      : [`${name}: ${kernel}: ${now ?? 'gone'}, recorded: ${before ?? 'none'}`];
  });
}

function format({ compiler, files }) {
  const entries = Object.entries(files).map(([name, { digest, kernels }]) => {
    const lines = Object.entries(kernels).map(
      ([kernel, figures]) => `\n   ${JSON.stringify(kernel)}: [${figures.join(', ')}]`,
    );
    return `  ${JSON.stringify(name)}: {"digest": "${digest}", "kernels": {${lines.join(',')}}}`;
  });
  return `{"compiler": "${compiler}", "architecture": "${ARCHITECTURE}",\n "files": {\n${entries.join(',\n')}}}\n`;
}

const compiler = compilerVersion();
const table = existsSync(tableFile) ? JSON.parse(readFileSync(tableFile, 'utf8')) : {};
const recorded = table.files ?? {};
if (values.check && table.compiler && table.compiler !== compiler) {
  console.log(
    `not compared: cuda/resources.json is of nvcc ${table.compiler}, this is ${compiler}`,
  );
  process.exit(0);
}
const names = readdirSync(folder)
  .filter((name) => name.endsWith('.cu'))
  .sort();
const digests = new Map(names.map((name) => [name, digestOf(name, compiler)]));
const changed = names.filter((name) => values.all || recorded[name]?.digest !== digests.get(name));
const RENEW = 'node scripts/cuda-resources.mjs renews the table';

if (values.check && changed.length > MOST_FILES) {
  console.error(
    `${changed.length} files of kernels differ from cuda/resources.json (nvcc ${compiler}): ${RENEW}`,
  );
  process.exit(1);
}
const found = await compileAll(changed);
const files = Object.fromEntries(
  names.map((name) => [
    name,
    { digest: digests.get(name), kernels: found.get(name) ?? recorded[name].kernels },
  ]),
);
const differing = [
  ...names.flatMap((name) => differences(name, files[name].kernels, recorded[name]?.kernels)),
  ...Object.keys(recorded).filter((name) => !digests.has(name)).map((name) => `${name}: gone`), // prettier-ignore
];
for (const line of differing.slice(0, MOST_LINES)) console.log(line);
if (differing.length > MOST_LINES) console.log(`and ${differing.length - MOST_LINES} more`);
const kernels = Object.values(files).flatMap((file) => Object.values(file.kernels));
const most = Math.max(...kernels.map(([registers]) => registers));
const spilling = kernels.filter(([, , spilled]) => spilled > 0).length;
const shared = Math.max(...kernels.map((figures) => figures[3]));
console.log(
  `${kernels.length} kernels for ${ARCHITECTURE}: at most ${most} registers, ${spilling} spill, at most ${shared} bytes of static shared memory; ${changed.length} of ${names.length} files compiled`,
);
if (!values.check) {
  writeFileSync(tableFile, format({ compiler, files }));
} else if (differing.length > 0) {
  console.error(`the kernels differ from cuda/resources.json; if they should, ${RENEW}`);
  process.exit(1);
}
