// What stands in dist/ beside the compiled library: the ESM face, and the headers for `fluxion build`.
//
// dist/index.mjs and dist/index.d.mts re-export the CommonJS build rather than duplicate it: classes and module state
// must be the same whichever way a program loads the package.

import { copyFileSync, mkdirSync, readdirSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import path from 'node:path';
import { fileURLToPath } from 'node:url';

const dist = new URL('../dist/', import.meta.url);
const require = createRequire(import.meta.url);
const entry = require(fileURLToPath(new URL('index.js', dist)));

const names = Object.keys(entry)
  .filter((name) => name !== 'default' && name !== '__esModule')
  .sort();

// `var` names a function of the library and is a reserved word: a constant has another name.
const lines = [
  "import fluxion from './index.js';",
  '',
  'const {',
  ...names.map((name) => `  ${name}: ${name}_,`),
  '} = fluxion;',
  'export {',
  ...names.map((name) => `  ${name}_ as ${name},`),
  '};',
  '',
];
writeFileSync(new URL('index.mjs', dist), lines.join('\n'));
writeFileSync(new URL('index.d.mts', dist), "export * from './index.js';\n");

/** Copies the files of a folder whose names match into dist/headers/. */
function copyHeaders(folder, pattern, rename = (name) => name) {
  for (const name of readdirSync(folder).filter((file) => pattern.test(file))) {
    copyFileSync(path.join(folder, name), fileURLToPath(new URL(`headers/${rename(name)}`, dist)));
  }
}

mkdirSync(new URL('headers/', dist), { recursive: true });
copyHeaders(require('node-api-headers').include_dir, /\.h$/);
for (const name of ['node-api-headers', 'node-addon-api']) {
  const root = path.dirname(require.resolve(`${name}/package.json`));
  if (name === 'node-addon-api') copyHeaders(root, /\.h$/);
  copyHeaders(root, /^LICENSE/, () => `LICENSE.${name}`);
}
