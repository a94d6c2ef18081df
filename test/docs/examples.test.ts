import { spawnSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { pageProgram, prints } from './page-program';

const root = path.join(__dirname, '../..');
const programs = path.join(root, 'build/examples');

/** Pages whose blocks of js are one program each, and how many lines it prints at least. */
const PAGES: [string, number][] = [
  ['README.md', 1],
  ['docs/tutorial.md', 14],
  ['docs/from-pytorch.md', 4],
  ['docs/choosing-an-operator.md', 7],
];

let folder: string;
beforeAll(() => {
  mkdirSync(programs, { recursive: true });
  folder = mkdtempSync(path.join(tmpdir(), 'fluxion-examples-'));
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

// What console.log prints stays on one line, as the expectation does.
const ONE_LINE = `data:text/javascript,${encodeURIComponent(
  "import { inspect } from 'node:util'; inspect.defaultOptions.breakLength = Infinity;",
)}`;

/** Runs a module where the import of 'fluxion' finds this package; what it writes goes into a fresh folder. */
function run(name: string, source: string) {
  const file = path.join(programs, `${name.replace(/\W+/g, '-')}.mjs`);
  writeFileSync(file, source);
  const child = spawnSync(process.execPath, ['--import', ONE_LINE, file], {
    cwd: folder,
    encoding: 'utf8',
  });
  return { ...child, lines: child.stdout.split('\n').slice(0, -1) };
}

test.each(PAGES)(
  '%s runs and prints what it says',
  (page, least) => {
    const { source, expected } = pageProgram(path.join(root, page));
    expect(expected.length).toBeGreaterThanOrEqual(least);
    const { status, stderr, lines } = run(page, source);
    expect({ status, stderr }).toEqual({ status: 0, stderr: '' });
    const wrong = expected.flatMap((line, i) => (prints(line, lines[i]) ? [] : [[line, lines[i]]]));
    expect(wrong).toEqual([]);
    expect(lines.slice(expected.length)).toEqual([]);
  },
  300_000,
);

test('a page that is wrong is noticed', () => {
  const page = path.join(folder, 'page.md');
  writeFileSync(page, '# Page\n\n```js\nconsole.log(1); // => 2\n```\n\n```js\nthrow 3;\n```\n');
  const { source, expected } = pageProgram(page);
  expect(source.split('\n')[7]).toBe('throw 3;');
  const { status, lines } = run('wrong', source);
  expect([status, lines, prints(expected[0]!, lines[0])]).toEqual([1, ['1'], false]);
  expect([prints('a... b', 'a 1 b'), prints('a.b', 'axb'), prints('a', undefined)]).toEqual([
    true,
    false,
    false,
  ]);
});
