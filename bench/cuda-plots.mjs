// Bar charts of a run of bench/cuda.mjs: bandwidth as a share of the measured copy, and speed against the peers.
//   node bench/cuda-plots.mjs bench/results/<run>.json     for a run on a machine without the packages for charts

import { readFileSync } from 'node:fs';
import { pathToFileURL } from 'node:url';

const SIZE = { width: 480 };

function bars(title, values, x) {
  const order = values.map((row) => row.case);
  return {
    chart: {
      ...SIZE,
      height: 16 * order.length,
      title,
      data: { values },
      layer: [
        {
          mark: { type: 'bar' },
          encoding: {
            y: {
              field: 'case',
              type: 'nominal',
              sort: order,
              title: null,
              axis: { labelLimit: 400 },
            },
            x: { field: 'value', type: 'quantitative', title: null, ...x },
            ...(x.scale.type === 'log' ? { x2: { datum: 1 } } : {}),
          },
        },
        { mark: { type: 'rule', color: 'black' }, encoding: { x: { datum: 1 } } },
      ],
    },
  };
}

/**
 * Writes the charts that the rows have values for, as `file`.svg and .png: their names. A package for charts that is
 * missing, as on a bare machine, costs the charts only.
 */
export async function savePlots(f, rows, file) {
  const shares = rows
    .filter(({ copyShare }) => copyShare !== null)
    .map(({ name, copyShare }) => ({ case: name, value: copyShare }));
  const ratios = rows
    .filter(({ peer }) => peer)
    .map(({ name, ms, peer }) => ({ case: `${name} (${peer.peer})`, value: peer.ms / ms }));
  const panels = [];
  if (shares.length > 0) {
    const most = Math.max(1, ...shares.map(({ value }) => value));
    const scale = { type: 'linear', domain: [0, most] };
    panels.push(bars('Bandwidth over that of a copy', shares, { scale }));
  }
  if (ratios.length > 0) {
    panels.push(bars('Times as fast as the peer', ratios, { scale: { type: 'log', nice: false } }));
  }
  if (panels.length === 0) return [];
  const files = [`${file}.svg`, `${file}.png`];
  try {
    for (const each of files) await f.train.saveFigure(panels, each);
  } catch (error) {
    if (error.code !== 'FLUXION_UNSUPPORTED') throw error;
    console.error(`no charts: ${error.message}; later: node bench/cuda-plots.mjs ${file}.json`);
    return [];
  }
  return files;
}

if (import.meta.url === pathToFileURL(process.argv[1] ?? '').href) {
  const [file] = process.argv.slice(2);
  if (!file?.endsWith('.json')) {
    console.error('usage: node bench/cuda-plots.mjs <run>.json');
    process.exit(1);
  }
  const { rows } = JSON.parse(readFileSync(file, 'utf8'));
  const written = await savePlots(await import('../dist/index.mjs'), rows, file.slice(0, -5));
  console.log(written.join('\n'));
}
