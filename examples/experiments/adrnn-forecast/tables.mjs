// The tables of docs/systems/adrnn.md, from the records of the runs.

import { readdir } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import { meanAndDeviation, readRecord, replaceTable } from '../record.mjs';
import { TITLES } from './networks.mjs';

const folder = fileURLToPath(new URL('../../../docs/systems/results', import.meta.url));

/** All records of a set, by network and variant in the order of the names. */
export async function recordsOf(set) {
  const names = (await readdir(folder)).filter((name) => name.startsWith(`adrnn-${set}-`)).sort();
  return Promise.all(names.map((name) => readRecord(name.replace(/\.json$/, ''))));
}

/** A mean, with the deviation where there are several seeds. */
function over(runs, value, digits) {
  const { mean, deviation } = meanAndDeviation(runs.map(value));
  return deviation === null
    ? mean.toFixed(digits)
    : `${mean.toFixed(digits)} ± ${deviation.toFixed(digits)}`;
}

const FRAMES = [
  ['MSE (sum over pixels)', (r) => r.mse, 1],
  ['SSIM', (r) => r.ssim, 3],
  ['MSE of frame 1', (r) => r.horizon.mse[0], 1],
  ['5', (r) => r.horizon.mse[4], 1],
  ['10', (r) => r.horizon.mse[9], 1],
  ['relative L2, frame 10', (r) => r.last, 3],
];

const COLUMNS = {
  mnist: FRAMES,
  digits: FRAMES,
  water: [
    ['relative L2, step 1', (r) => r.horizon.relativeL2[0], 4],
    ['5', (r) => r.horizon.relativeL2[4], 4],
    ['10', (r) => r.horizon.relativeL2[9], 4],
    ['20', (r) => r.horizon.relativeL2[19], 4],
    ['depth alone, step 20', (r) => r.horizon.depth[19], 5],
  ],
};

async function writeTable(set, networks) {
  const records = await recordsOf(set);
  const variants = [...new Set(records.map(({ variant }) => variant))];
  variants.sort((a, b) => (b === 'base') - (a === 'base'));
  const rows = variants.flatMap((variant) =>
    networks.flatMap((network) => {
      const runs = records.filter((r) => r.network === network && r.variant === variant);
      if (runs.length === 0) return [];
      const name = variant === 'base' ? TITLES[network] : `${TITLES[network]}, ${variant}`;
      return [
        [
          name,
          runs.map(({ seed }) => seed).join(', '),
          String(runs[0].parameters),
          `${runs[0].budget}`,
          over(runs, (r) => r.steps, 0),
          ...COLUMNS[set].map(([, value, digits]) => over(runs, value, digits)),
        ],
      ];
    }),
  );
  const header = ['network', 'seeds', 'parameters', 'budget (s)', 'steps'];
  const titles = COLUMNS[set].map(([title]) => title);
  await replaceTable('adrnn.md', set, [...header, ...titles], rows);
}

/** Rewrites the tables of all sets. */
export async function writeTables(sets, networks) {
  for (const set of sets) await writeTable(set, networks);
}
