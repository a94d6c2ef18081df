// Writes the tables of docs/reliability.md from the records that the reliability commands leave in docs/reliability.
//   node scripts/reliability-report.mjs [--check]

import { readFileSync, readdirSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';

const root = path.dirname(path.dirname(fileURLToPath(import.meta.url)));
const page = path.join(root, 'docs/reliability.md');
const folder = path.join(root, 'docs/reliability');
const [BEGIN, END] = ['<!-- records: begin -->', '<!-- records: end -->'];

const records = readdirSync(folder)
  .filter((file) => file.endsWith('.json'))
  .sort()
  .map((file) => JSON.parse(readFileSync(path.join(folder, file), 'utf8')));

const number = (value) => (typeof value === 'number' ? value.toLocaleString('en-US') : value);

/** A table whose columns are as wide as their widest cell, as the formatter writes it. */
function table(rows) {
  const widths = rows[0].map((_, i) => Math.max(3, ...rows.map((row) => row[i].length)));
  const line = (cells) => `| ${cells.map((cell, i) => cell.padEnd(widths[i])).join(' | ')} |`;
  const rule = `| ${widths.map((width) => '-'.repeat(width)).join(' | ')} |`;
  return [line(rows[0]), rule, ...rows.slice(1).map(line)].join('\n');
}

function section({ name, command, date, commit, machine, seconds, figures, failures }) {
  const { processor, cores, platform, node } = machine;
  const rows = [['', ''], ...Object.entries(figures).map(([key, value]) => [key, number(value)])];
  rows.push(['**failures**', `**${failures}**`]);
  return [
    `### ${name}`,
    '',
    `\`${command}\`: ${number(Math.round(seconds))} s on ${date}, commit ${commit}, ${cores} x ${processor}, ${platform}, Node.js ${node}.`,
    '',
    table(rows),
  ].join('\n');
}

const text = readFileSync(page, 'utf8');
const [before, rest] = text.split(BEGIN);
const after = rest?.split(END)[1];
if (after === undefined) throw new Error(`${page} must have ${BEGIN} and ${END}`);
const written = [before, BEGIN, '\n\n', records.map(section).join('\n\n'), '\n\n', END, after].join(
  '',
);
if (process.argv.includes('--check')) {
  if (written !== text) {
    console.error('docs/reliability.md is not that of the records: npm run reliability:report');
    process.exit(1);
  }
} else {
  writeFileSync(page, written);
}
