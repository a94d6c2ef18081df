// Bar charts of a run of bench/cuda.mjs: bandwidth as a share of the measured copy, and speed against the peers.

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

/** Writes the charts that the rows have values for, as SVG and PNG beside the JSON. */
export async function savePlots(f, rows, file) {
  const shares = rows
    .filter(({ copyShare }) => copyShare !== null)
    .map(({ name, copyShare }) => ({ case: name, value: copyShare }));
  const ratios = rows
    .filter(({ peer }) => peer)
    .map(({ name, ms, peer }) => ({ case: `${name} (${peer.peer})`, value: peer.ms / ms }));
  const panels = [];
  if (shares.length > 0) {
    const scale = { type: 'linear', domain: [0, 1] };
    panels.push(bars('Bandwidth over that of a copy', shares, { scale }));
  }
  if (ratios.length > 0) {
    panels.push(bars('Times as fast as the peer', ratios, { scale: { type: 'log', nice: false } }));
  }
  if (panels.length === 0) return [];
  const files = [`${file}.svg`, `${file}.png`];
  for (const each of files) await f.train.saveFigure(panels, each);
  return files;
}
