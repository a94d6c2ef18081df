// Checks what an addon for Linux demands of the machine that loads it: the versions of glibc and libstdc++, the
// libraries, and that it exports nothing but the entry points of Node-API.
//
//   npm run check:binary [-- file ...]    default: every prebuild for Linux

import { execFileSync } from 'node:child_process';
import { existsSync, readdirSync } from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';

const root = path.dirname(path.dirname(fileURLToPath(import.meta.url)));

/** Highest version of a symbol that may be asked for: those of glibc 2.34 and of GCC 11. */
const CEILINGS = { GLIBC: '2.34', GLIBCXX: '3.4.29', CXXABI: '1.3.13', GCC: '7.0.0' };
/** Node.js itself loads all of these; musl has one library for the first four names. */
const LIBRARIES =
  /^(lib(c|m|dl|pthread|stdc\+\+|gcc_s)\.so(\.\d+)?|ld-.*\.so\.\d+|libc\.musl-.*\.so\.1)$/;
const EXPORTS = ['napi_register_module_v1', 'node_api_module_get_api_version_v1'];

const compareVersions = (a, b) => a.localeCompare(b, 'en', { numeric: true });

/** What an ELF file needs and offers: libraries, highest version of each family of symbols, exported symbols. */
export function readDemands(file) {
  const lines = execFileSync('readelf', ['--wide', '--dynamic', '--dyn-syms', file], {
    encoding: 'utf8',
    maxBuffer: 2 ** 26,
  }).split('\n');
  const libraries = [];
  const exported = [];
  const versions = {};
  for (const line of lines) {
    const library = /\(NEEDED\).*\[(.+)\]/.exec(line)?.[1];
    if (library) libraries.push(library);
    // Num: Value Size Type Bind Vis Ndx Name@VERSION (n)
    const symbol = /^\s*\d+:\s+[0-9a-f]+\s+\S+\s+\w+\s+(\w+)\s+\w+\s+(\w+)\s+(\S+)/.exec(line);
    if (!symbol) continue;
    const [, binding, section, name] = symbol;
    if (binding === 'LOCAL') continue;
    if (section !== 'UND') exported.push(name.replace(/@.*/, ''));
    const [, family, version] = /@([A-Z]+)_(\d[\d.]*)/.exec(name) ?? [];
    if (family && compareVersions(version, versions[family] ?? '0') > 0) versions[family] = version;
  }
  return { libraries, exported, versions };
}

/** What is wrong with an addon, one line each. */
export function complaints({ libraries, exported, versions }) {
  return [
    ...libraries.filter((name) => !LIBRARIES.test(name)).map((name) => `needs ${name}`),
    ...Object.entries(versions)
      .filter(([family, version]) => compareVersions(version, CEILINGS[family] ?? '0') > 0)
      .map(
        ([family, version]) => `needs ${family}_${version}, above ${CEILINGS[family] ?? 'none'}`,
      ),
    ...exported.filter((name) => !EXPORTS.includes(name)).map((name) => `exports ${name}`),
    ...EXPORTS.filter((name) => !exported.includes(name)).map((name) => `does not export ${name}`),
  ];
}

/** Prints what a file demands; throws where that is too much. */
export function checkBinary(file) {
  const demands = readDemands(file);
  const wrong = complaints(demands);
  const versions = Object.entries(demands.versions).map(
    ([family, version]) => `${family}_${version}`,
  );
  console.log(`${path.relative(root, file)}: ${[...demands.libraries, ...versions].join(' ')}`);
  if (wrong.length > 0) throw new Error(`${file}\n  ${wrong.join('\n  ')}`);
}

function prebuilds() {
  const folder = path.join(root, 'prebuilds');
  if (!existsSync(folder)) throw new Error('there are no prebuilds: run npm run make:prebuild');
  return readdirSync(folder, { recursive: true })
    .filter((file) => /^linux-.*\.node$/.test(file))
    .map((file) => path.join(folder, file));
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const files = process.argv.slice(2);
  for (const file of files.length > 0 ? files : prebuilds()) checkBinary(file);
}
