// What all experiments share: records of runs (docs/systems/results/<name>.json, stamped with commit, command, seed
// and machine) and the tables that are made from them.

import { execFileSync } from 'node:child_process';
import { mkdir, readFile, rename, writeFile } from 'node:fs/promises';
import { cpus } from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { config } from '../../dist/index.mjs';

const root = fileURLToPath(new URL('../..', import.meta.url));
const results = path.join(root, 'docs/systems/results');

/** The version of the sources, '+' behind it where files differ from it; null where they are no clone. */
export function commit() {
  const git = (...words) =>
    execFileSync('git', words, {
      cwd: root,
      encoding: 'utf8',
      stdio: ['ignore', 'pipe', 'ignore'],
    }).trim();
  try {
    const changed = git('status', '--porcelain', '--', 'lib', 'native', 'examples');
    return git('rev-parse', 'HEAD') + (changed ? '+' : '');
  } catch {
    return null;
  }
}

// Asked once, when the run starts: the sources may move on while it trains.
const startedFrom = commit();

async function writeAtomically(file, text) {
  await mkdir(path.dirname(file), { recursive: true });
  await writeFile(`${file}.part`, text);
  await rename(`${file}.part`, file);
}

/** A line for each figure, and for each element of a list of objects (the points of a course). */
function textOf(record) {
  const one = (value) =>
    Array.isArray(value) && typeof value[0] === 'object'
      ? `[\n  ${value.map((element) => JSON.stringify(element)).join(',\n  ')}\n ]`
      : JSON.stringify(value);
  const lines = Object.entries(record)
    .filter(([, value]) => value !== undefined)
    .map(([name, value]) => ` ${JSON.stringify(name)}: ${one(value)}`);
  return `{\n${lines.join(',\n')}\n}\n`;
}

/** Writes one run under its name; the stamp comes first. */
export async function writeRecord(name, record) {
  const stamp = {
    commit: startedFrom,
    command: ['node', path.relative(root, process.argv[1]), ...process.argv.slice(2)].join(' '),
    machine: cpus()[0]?.model ?? process.arch,
    config: config(),
  };
  const file = path.join(results, `${name}.json`);
  await writeAtomically(file, textOf({ ...stamp, ...record }));
  return path.relative(root, file);
}

/** The record of a run, or null where it was not made yet. */
export async function readRecord(name) {
  try {
    return JSON.parse(await readFile(path.join(results, `${name}.json`), 'utf8'));
  } catch (error) {
    if (error.code === 'ENOENT') return null;
    throw error;
  }
}

/** Mean and sample standard deviation of figures of several seeds. */
export function meanAndDeviation(values) {
  const mean = values.reduce((a, b) => a + b, 0) / values.length;
  const squares = values.reduce((sum, v) => sum + (v - mean) ** 2, 0);
  return { mean, deviation: values.length > 1 ? Math.sqrt(squares / (values.length - 1)) : null };
}

/** Puts a table between `<!-- table: name -->` and `<!-- end -->` of a page under docs/systems. */
export async function replaceTable(page, name, header, rows) {
  const file = path.join(root, 'docs/systems', page);
  const text = await readFile(file, 'utf8');
  const [begin, end] = [`<!-- table: ${name} -->`, '<!-- end -->'];
  const from = text.indexOf(begin);
  const to = text.indexOf(end, from);
  if (from < 0 || to < 0) throw new Error(`${page} must have ${begin} and ${end}`);
  const line = (cells) => `| ${cells.join(' | ')} |`;
  const table = [line(header), line(header.map(() => '---')), ...rows.map(line)].join('\n');
  await writeAtomically(file, `${text.slice(0, from)}${begin}\n\n${table}\n\n${text.slice(to)}`);
}

/**
 * Processor seconds of this process since it started, over all its threads. Budgets of training are counted in these:
 * with FLUXION_NUM_THREADS=1 they are the seconds of one core, however busy the machine is.
 */
export function processorSeconds() {
  const { user, system } = process.cpuUsage();
  return (user + system) / 1e6;
}
