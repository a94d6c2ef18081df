// Writes the newest result of each case into docs/benchmarking.md, between its markers, and two bar charts
// into docs/figures:   npm run bench:report
// Nobody edits the numbers.

import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import type { TopLevelSpec } from 'vega-lite' with { 'resolution-mode': 'import' };
import { ROOT } from './machine';
import { type Results, newestResults, provenance, shares, tableOf } from './results';

const PAGE = path.join(ROOT, 'docs/benchmarking.md');
const FIGURES = path.join(ROOT, 'docs/figures');
const BEGIN = '<!-- bench:begin -->';
const END = '<!-- bench:end -->';

function markdownTable([head, ...rows]: string[][]): string {
  const widths = head!.map((title, i) =>
    Math.max(3, title.length, ...rows.map((row) => row[i]!.length)),
  );
  const line = (cells: readonly string[]) =>
    `| ${cells.map((cell, i) => (i === 0 ? cell.padEnd(widths[i]!) : cell.padStart(widths[i]!))).join(' | ')} |`;
  const rule = widths.map((width, i) =>
    i === 0 ? '-'.repeat(width) : `${'-'.repeat(width - 1)}:`,
  );
  return [line(head!), `| ${rule.join(' | ')} |`, ...rows.map(line)].join('\n');
}

/** The page with new text between the markers. */
export function insertReport(page: string, report: string): string {
  const [begin, end] = [page.indexOf(BEGIN), page.indexOf(END)];
  if (begin < 0 || end < begin)
    throw new Error(`the page must contain ${BEGIN} and, below it, ${END}`);
  return `${page.slice(0, begin + BEGIN.length)}\n\n${report}\n\n${page.slice(end)}`;
}

interface Bar {
  case: string;
  series: string;
  value: number;
}

/** Horizontal bars, one group a case, with a rule where the value is 1. */
function barChart(bars: readonly Bar[], title: string, scale: 'log' | 'linear'): TopLevelSpec {
  const order = [...new Set(bars.map((bar) => bar.case))];
  const x = scale === 'log' ? { type: scale, nice: false } : { type: scale, domain: [0, 1] };
  return {
    $schema: 'https://vega.github.io/schema/vega-lite/v6.json',
    background: 'white',
    width: 480,
    height: 22 * order.length,
    data: { values: [...bars] },
    layer: [
      {
        mark: { type: 'bar' },
        encoding: {
          y: {
            field: 'case',
            type: 'nominal',
            sort: order,
            title: null,
            axis: { labelLimit: 600 },
          },
          x: { field: 'value', type: 'quantitative', title, scale: x, stack: null },
          yOffset: { field: 'series' },
          color: { field: 'series', title: null, legend: { orient: 'top', labelLimit: 300 } },
          ...(scale === 'log' ? { x2: { datum: 1 } } : {}),
        },
      },
      { mark: { type: 'rule', color: 'black' }, encoding: { x: { datum: 1 } } },
    ],
  };
}

async function writeSvg(spec: TopLevelSpec, file: string): Promise<void> {
  const vega = await import('vega'); // both are ESM only
  const { compile } = await import('vega-lite');
  const view = new vega.View(vega.parse(compile(spec).spec), { renderer: 'none' });
  writeFileSync(file, await view.toSVG());
}

const RATIO_SERIES = { torch: 'PyTorch', 'torch-keep': 'PyTorch, memory kept' } as const;

async function writeFigures(runs: readonly Results[]): Promise<string[]> {
  const rows = runs.flatMap((run) => run.rows.map((row) => ({ row, run })));
  const ratios = rows.flatMap(({ row }) =>
    (['torch', 'torch-keep'] as const).flatMap((peer): Bar[] => {
      const summary = row.peers[peer];
      return summary ? [{ case: row.name, series: RATIO_SERIES[peer], value: summary.ratio }] : [];
    }),
  );
  const ofPeaks = rows
    .filter(({ row }) => row.sets > 1)
    .flatMap(({ row, run }): Bar[] => {
      const { copy, fma } = shares(row, run);
      return [
        { case: row.name, series: 'of the copy peak', value: Math.min(copy, 1) },
        { case: row.name, series: 'of the FMA peak', value: Math.min(fma, 1) },
      ];
    });
  mkdirSync(FIGURES, { recursive: true });
  const shareTitle = 'share of the machine, by the floor of bytes or flops';
  await writeSvg(barChart(ofPeaks, shareTitle, 'linear'), path.join(FIGURES, 'bench-shares.svg'));
  const lines = [`![Shares of the copy and FMA peaks](figures/bench-shares.svg)`];
  if (ratios.length > 0) {
    const title =
      'time of the peer / time of Fluxion (logarithmic; right of the line Fluxion is faster)';
    await writeSvg(barChart(ratios, title, 'log'), path.join(FIGURES, 'bench-ratios.svg'));
    lines.push(`![Ratios to PyTorch](figures/bench-ratios.svg)`);
  }
  return lines;
}

async function main(): Promise<void> {
  const runs = newestResults();
  const tables = runs.map((run) => `${provenance(run)}.\n\n${markdownTable(tableOf(run))}`);
  const report = [...tables, ...(await writeFigures(runs))].join('\n\n');
  writeFileSync(PAGE, insertReport(readFileSync(PAGE, 'utf8'), report));
  const cases = runs.reduce((count, { rows }) => count + rows.length, 0);
  console.log(`${path.relative(process.cwd(), PAGE)}: ${cases} cases of ${runs.length} runs`);
}

if (require.main === module) void main();
