// Tables and figures of the multiscale experiments, from their records.

import path from 'node:path';
import { readdir, readFile } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import { train } from '../../dist/index.mjs';
import { firstReach } from './multiscale-strategies.mjs';
import { meanAndDeviation, replaceTable } from './record.mjs';

const docs = fileURLToPath(new URL('../../docs', import.meta.url));
const PAGE = 'multiscale-training.md';
const ORDER = ['single', 'long', 'small', 'gradient', 'full', 'full-quarter'];
const LABELS = {
  single: 'single mesh, all samples',
  long: 'single mesh, small batch, long',
  small: 'single mesh, small batch',
  gradient: 'multiscale gradient',
  full: 'full multiscale',
  'full-quarter': 'full multiscale, long',
};

async function recordsOf(task) {
  const folder = path.join(docs, 'systems/results');
  const names = (await readdir(folder)).filter((name) => name.startsWith(`multiscale-${task}-`));
  const texts = await Promise.all(names.map((name) => readFile(path.join(folder, name), 'utf8')));
  return texts.map((text) => JSON.parse(text));
}

const label = ({ strategy, restriction }) =>
  LABELS[strategy] + (restriction === null ? '' : `, ${restriction}`);
const rank = (run) => 10 * ORDER.indexOf(run.strategy) + (run.restriction === 'mean' ? 1 : 0);

/** Runs in groups of equal key, the groups in the order of `by`. */
function grouped(runs, key, by) {
  const groups = new Map();
  for (const run of [...runs].sort((a, b) => by(a) - by(b))) {
    groups.set(key(run), [...(groups.get(key(run)) ?? []), run]);
  }
  return [...groups.values()];
}

const whole = (value) => Math.round(value).toLocaleString('en');

function spread(values, digits) {
  const { mean, deviation } = meanAndDeviation(values);
  return mean.toFixed(digits) + (deviation === null ? '' : ` ± ${deviation.toFixed(digits)}`);
}

/** Where runs first reach the final loss of the run on one mesh with the same seed: means, and of how many. */
function reach(runs, single) {
  const pairs = runs.flatMap((run) => {
    const reference = single.find(({ seed }) => seed === run.seed);
    const point = reference && firstReach(run.curve, reference.loss);
    const end = reference?.curve.at(-1);
    return point ? [[point.workUnits / end.workUnits, point.seconds / end.seconds]] : [];
  });
  if (pairs.length === 0) return ['not reached', 'not reached'];
  const of = pairs.length < runs.length ? ` (${pairs.length} of ${runs.length} seeds)` : '';
  return [0, 1].map((k) => meanAndDeviation(pairs.map((p) => p[k])).mean.toFixed(2) + of);
}

async function writeTable(task, size, convolution, runs) {
  const single = runs.filter(({ strategy }) => strategy === 'single');
  const rows = grouped(runs, label, rank).map((group) => {
    const end = group[0].curve.at(-1);
    return [
      label(group[0]),
      whole(end.step),
      whole(end.workUnits),
      spread(
        group.map(({ seconds }) => seconds),
        1,
      ),
      spread(
        group.map(({ loss }) => loss),
        4,
      ),
      ...reach(group, single),
      group.length,
    ];
  });
  const header = ['strategy', 'steps', 'work units', 'processor seconds', 'final loss'];
  const reached = ['reaches it at work units', 'at seconds', 'seeds'];
  await replaceTable(PAGE, `${task}-${size}-${convolution}`, [...header, ...reached], rows);
}

/** What a figure shows: more courses could not be told apart. */
const DRAWN = ['single', 'small', 'full-quarter'];

/** The mean course of runs that differ in their seeds: they were looked at after the same steps. */
function meanCourse(runs) {
  return runs[0].curve.slice(1).map(({ workUnits }, i) => {
    const mean = (key) => meanAndDeviation(runs.map(({ curve }) => curve[i + 1][key])).mean;
    return { workUnits, seconds: mean('seconds'), loss: mean('loss') };
  });
}

/** Courses of the loss against work and against time, a row for each kind of convolution. */
async function writeFigure(task, size, runs) {
  const drawn = runs.filter(({ strategy }) => DRAWN.includes(strategy));
  const key = (run) => run.convolution + label(run);
  const values = grouped(drawn, key, rank).flatMap((group) => {
    const own = { strategy: label(group[0]), convolution: group[0].convolution };
    return meanCourse(group).map((point) => ({ ...point, ...own }));
  });
  const domains = { 'mesh-free': domainOf(values, 'mesh-free'), '3x3': domainOf(values, '3x3') };
  // The first losses are far above: lines go along the edge there.
  for (const value of values)
    value.loss = Math.min(value.loss, 1.01 * domains[value.convolution][1]);
  const chart = (convolution, field, title) => ({
    ...{ width: 230, height: 170, title: convolution },
    transform: [{ filter: `datum.convolution === '${convolution}'` }],
    mark: { type: 'line', strokeWidth: 1.5, clip: true },
    encoding: {
      x: { field, type: 'quantitative', title, axis: AXIS, scale: { type: 'log', nice: false } },
      y: {
        ...{ field: 'loss', type: 'quantitative', title: 'validation loss', axis: AXIS },
        scale: { type: 'log', nice: false, domain: domains[convolution] },
      },
      color: {
        ...{ field: 'strategy', type: 'nominal', title: null, sort: null },
        legend: { orient: 'bottom', columns: 2 },
      },
    },
  });
  const row = (convolution) => ({
    hconcat: [
      chart(convolution, 'workUnits', 'work units'),
      chart(convolution, 'seconds', 'processor seconds'),
    ],
  });
  const file = path.join(docs, `figures/multiscale-${task}-${size}.png`);
  const present = ['mesh-free', '3x3'].filter((c) => drawn.some((run) => run.convolution === c));
  const config = { legend: { labelLimit: 300 } };
  await train.saveFigure(
    [{ chart: { data: { values }, config, vconcat: present.map(row) } }],
    file,
  );
}

const AXIS = { grid: false, tickCount: 5 };

/** From the lowest loss to where nine of ten points are. */
function domainOf(values, convolution) {
  const losses = values.filter((v) => v.convolution === convolution).map(({ loss }) => loss);
  losses.sort((a, b) => a - b);
  return [losses[0] * 0.98, losses[Math.floor(losses.length * 0.92)]];
}

/** Writes a table for each size and convolution there is, and a figure for each size. */
export async function writeTables(task) {
  const all = await recordsOf(task);
  for (const runs of grouped(
    all,
    ({ size }) => size,
    ({ size }) => size,
  )) {
    const { size } = runs[0];
    for (const one of grouped(runs, ({ convolution }) => convolution, rank)) {
      await writeTable(task, size, one[0].convolution, one);
    }
    await writeFigure(task, size, runs);
  }
}
