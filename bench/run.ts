// The benchmarks:   npm run bench [-- filter... --pairs N --no-peers --threads N]
//
// Every trial is a process of its own. Fluxion and its peers take turns (A B C, A B C, ..), so that a
// slow minute of the machine meets all of them; a ratio compares the two of one turn.

import { execFileSync } from 'node:child_process';
import path from 'node:path';
import { parseArgs } from 'node:util';
import type { Case, PeerName } from './case';
import { selectCases } from './cases';
import { describeMachine, measurePeaks, revision } from './machine';
import { median, medianAbsoluteDeviation } from './measure';
import { type Peer, type PeerReport, findPeers, runPeer } from './peers';
import {
  type PeerSummary,
  type Results,
  type Row,
  type Summary,
  provenance,
  tableOf,
  writeResults,
} from './results';
import type { TrialReport } from './trial';

/** Load average over which a run warns that its numbers are noisy. */
const QUIET_LOAD = 0.5;

interface RunOptions {
  pairs: number;
  threads: number | null;
}

function runTrialProcess(definition: Case, verify: boolean, threads: number | null): TrialReport {
  const output = execFileSync(
    process.execPath,
    [
      path.join(__dirname, 'trial.js'),
      definition.name,
      ...(verify ? [] : ['--no-verify']),
      ...(threads ? ['--threads', String(threads)] : []),
    ],
    { encoding: 'utf8', maxBuffer: 2 ** 26, stdio: ['ignore', 'pipe', 'pipe'] },
  );
  return JSON.parse(output) as TrialReport;
}

function summarise(reports: readonly { median: number; samples: number[] }[]): Summary {
  const samples = reports.flatMap((report) => report.samples);
  return {
    median: median(samples),
    mad: medianAbsoluteDeviation(samples),
    trials: reports.map((report) => report.median),
  };
}

function summarisePeer(reports: readonly PeerReport[], own: readonly TrialReport[]): PeerSummary {
  const ratios = reports.map((report, i) => report.median / own[i]!.median);
  const { formulation, pageFaultsPerCall, peakBytes } = reports[0]!;
  const about = { formulation, pageFaultsPerCall, peakBytes };
  return { ...summarise(reports), ratios, ratio: median(ratios), ...about };
}

/** The line of a failed process that says what went wrong. */
function reasonOf(error: unknown): string {
  const text = (error as { stderr?: string }).stderr ?? String(error);
  return /^\S*Error.*$/m.exec(text)?.[0] ?? text.trim().split('\n').at(-1)!;
}

function runCase(
  definition: Case,
  peers: readonly Peer[],
  { pairs, threads }: RunOptions,
): { row: Row; report?: TrialReport } {
  const { name, dtype, sizes } = definition;
  const row: Row = { name, dtype, sizes, sets: 0, ...definition.floors(sizes), peers: {} };
  const own: TrialReport[] = [];
  const theirs = new Map<PeerName, PeerReport[]>();
  const opponents = peers.filter((peer) => definition.peers.includes(peer.name));
  try {
    for (let turn = 0; turn < pairs; turn++) {
      own.push(runTrialProcess(definition, turn === 0, threads));
      for (const peer of opponents) {
        const report = runPeer(peer, definition, own[0]!.threads);
        theirs.set(peer.name, [...(theirs.get(peer.name) ?? []), report]);
      }
    }
  } catch (error) {
    return { row: { ...row, error: reasonOf(error) } };
  }
  row.sets = own[0]!.sets;
  row.fluxion = { ...summarise(own), peakBytes: own[0]!.peakBytes };
  for (const [peer, reports] of theirs) row.peers[peer] = summarisePeer(reports, own);
  return { row, report: own[0] };
}

function printTable(table: readonly string[][]): void {
  const widths = table[0]!.map((_, i) => Math.max(...table.map((row) => row[i]!.length)));
  for (const row of table) {
    const cells = row.map((text, i) =>
      i === 0 ? text.padEnd(widths[i]!) : text.padStart(widths[i]!),
    );
    console.log(cells.join('  ').trimEnd());
  }
}

function main(): void {
  const { values, positionals } = parseArgs({
    allowPositionals: true,
    options: {
      pairs: { type: 'string', default: '3' },
      'no-peers': { type: 'boolean', default: false },
      threads: { type: 'string' },
    },
  });
  const cases = selectCases(positionals);
  if (cases.length === 0) throw new Error(`no case matches: ${positionals.join(', ')}`);
  const peers = values['no-peers'] ? [] : findPeers();
  if (!values['no-peers'] && !peers.some(({ name }) => name === 'torch')) {
    console.error(
      'No Python with PyTorch (FLUXION_BENCH_PYTHON, python3): its columns stay empty.',
    );
  }
  const options = {
    pairs: Number(values.pairs),
    threads: values.threads ? Number(values.threads) : null,
  };
  const results: Results = {
    date: new Date().toISOString(),
    ...revision(),
    machine: describeMachine(),
    threads: 0,
    instructionSet: '',
    peaks: measurePeaks(),
    peers: Object.fromEntries(peers.map(({ name, version }) => [name, version])),
    pairs: options.pairs,
    rows: [],
  };
  if (results.machine.load > QUIET_LOAD) {
    console.error(
      `The load average is ${results.machine.load.toFixed(1)}: expect noise, and that peers whose threads ` +
        'wait by spinning (OpenMP) suffer the most.',
    );
  }
  cases.forEach((definition, i) => {
    process.stderr.write(`[${i + 1}/${cases.length}] ${definition.name}\n`);
    const { row, report } = runCase(definition, peers, options);
    results.rows.push(row);
    if (report) Object.assign(results, pickEngine(report));
  });
  console.log(`\n${provenance(results)}\n`);
  printTable(tableOf(results));
  console.log(`\n${path.relative(process.cwd(), writeResults(results))}`);
  process.exitCode = results.rows.some(({ error }) => error) ? 1 : 0;
}

const pickEngine = ({ threads, instructionSet }: TrialReport) => ({ threads, instructionSet });

main();
