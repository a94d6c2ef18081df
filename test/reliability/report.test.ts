// The tables of docs/reliability.md are those of the records, and a record that says something else is noticed.
import { spawnSync } from 'node:child_process';
import { cpSync, readFileSync, readdirSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { temporaryFolder } from '../data/files';
import { ROOT } from './record';

const at = temporaryFolder();

function report(root: string, ...args: string[]): number | null {
  const script = path.join(root, 'scripts/reliability-report.mjs');
  return spawnSync(process.execPath, [script, ...args]).status;
}

test('the page is that of the records', () => {
  expect(report(ROOT, '--check')).toBe(0);
});

test('another record is another page', () => {
  for (const file of ['scripts/reliability-report.mjs', 'docs/reliability.md', 'docs/reliability'])
    cpSync(path.join(ROOT, file), at(file), { recursive: true });
  const file = path.join(at('docs/reliability'), readdirSync(at('docs/reliability'))[0]!);
  const record = JSON.parse(readFileSync(file, 'utf8')) as { failures: number };
  writeFileSync(file, JSON.stringify({ ...record, failures: 987 }));
  expect(report(at('.'), '--check')).toBe(1);
  expect(report(at('.'))).toBe(0);
  expect(report(at('.'), '--check')).toBe(0);
  expect(readFileSync(at('docs/reliability.md'), 'utf8')).toContain('**987**');
});
