import { readFileSync } from 'node:fs';
import path from 'node:path';

/** Folder of the package: lib/ and the compiled dist/ lie directly below it. */
export const packageRoot = path.dirname(__dirname);

/** Version of the package. */
export const version: string = (
  JSON.parse(readFileSync(path.join(packageRoot, 'package.json'), 'utf8')) as { version: string }
).version;
