// Every error has a code: the sources throw no other kind, and the addon makes them all of one list.
import { readFileSync, readdirSync } from 'node:fs';
import path from 'node:path';
import { ROOT } from './record';

function sources(folder: string, pattern: RegExp): [string, string][] {
  return readdirSync(path.join(ROOT, folder), { recursive: true, encoding: 'utf8' })
    .filter((file) => pattern.test(file))
    .map((file) => [file, readFileSync(path.join(ROOT, folder, file), 'utf8')]);
}

/** Errors that never leave the file that throws them, and what they become there. */
const INSIDE: Record<string, string> = {
  'data/hdf5.ts': "throw new Error('it cannot be opened')",
};

test('the library throws no Error, TypeError or RangeError of its own', () => {
  const found = sources('lib', /\.ts$/).flatMap(([file, text]) =>
    [...text.matchAll(/throw new (?:\w*Error)\([^)]*\)?|reject\(new Error.*/g)]
      .map(([thrown]) => thrown)
      .filter((thrown) => !thrown.startsWith('throw new FluxionError('))
      .filter((thrown) => !thrown.startsWith(INSIDE[file.replaceAll('\\', '/')] ?? '\n'))
      .map((thrown) => `${file}: ${thrown}`),
  );
  expect(found).toEqual([]);
});

test('the addon throws no standard exception, and JavaScript errors in one place', () => {
  const found = sources('native', /\.(cpp|h)$/).flatMap(([file, text]) =>
    [...text.matchAll(/throw std::\w+|napi_throw\w*_error\b|napi_fatal_error|std::abort|\bexit\(/g)]
      .map(([thrown]) => thrown)
      .map((thrown) => `${file.replaceAll('\\', '/')}: ${thrown}`),
  );
  // Before JavaScript has handed its error class to the addon.
  expect(found).toEqual(['bindings/addon.cpp: napi_throw_error']);
});
