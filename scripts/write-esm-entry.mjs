// Writes dist/index.mjs and dist/index.d.mts, the ESM face of the CommonJS build. It re-exports
// rather than duplicates: classes and module state must be the same whichever way a program loads
// the package.

import { createRequire } from 'node:module';
import { writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

const dist = new URL('../dist/', import.meta.url);
const entry = createRequire(import.meta.url)(fileURLToPath(new URL('index.js', dist)));

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
