import { mkdirSync, readFileSync, readdirSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import type { Floors, PeerName, Sizes } from './case';
import { type Machine, type Peaks, ROOT, type Revision, copyPeak, fmaPeak } from './machine';

/** Times of one call in ns over all trials of a run. */
export interface Summary {
  median: number;
  /** Median absolute deviation over the samples of all trials. */
  mad: number;
  /** Median of each trial, in their order. */
  trials: number[];
  /** Growth of the peak of resident memory over what was resident before the case was set up. */
  peakBytes?: number;
}

export interface PeerSummary extends Summary {
  /** Time of the peer over time of Fluxion, for each pair of trials. */
  ratios: number[];
  /** Their median: over 1, Fluxion is faster. */
  ratio: number;
  formulation?: string;
  pageFaultsPerCall?: number;
}

export interface Row extends Floors {
  name: string;
  dtype: string;
  sizes: Sizes;
  /** Sets of inputs that the calls went through in turn. */
  sets: number;
  /** Why there is no time: a wrong result, an error. */
  error?: string;
  fluxion?: Summary;
  peers: Partial<Record<PeerName, PeerSummary>>;
}

/** A results file. */
export interface Results extends Revision {
  date: string;
  machine: Machine;
  threads: number;
  instructionSet: string;
  peaks: Peaks;
  /** Versions of the peers that were there. */
  peers: Partial<Record<PeerName, string>>;
  pairs: number;
  rows: Row[];
}

const FOLDER = path.join(ROOT, 'bench/results');

const slug = (text: string) =>
  text
    .toLowerCase()
    .replace(/\((r|tm)\)/g, '')
    .replace(/[^a-z0-9]+/g, '-')
    .replace(/^-|-$/g, '');

export function resultsFile({ date, commit, dirty, machine }: Results): string {
  const time = date.replace(/[-:]/g, '').replace('T', '-').slice(0, 15);
  return path.join(FOLDER, `${time}-${commit}${dirty ? '-dirty' : ''}-${slug(machine.cpu)}.json`);
}

export function writeResults(results: Results): string {
  const file = resultsFile(results);
  mkdirSync(FOLDER, { recursive: true });
  writeFileSync(file, JSON.stringify(results, null, 1) + '\n');
  return file;
}

/**
 * The newest result of each case: the runs, newest first, each with the rows that no later run has. Names of
 * files begin with the date.
 */
export function newestResults(): Results[] {
  const files = readdirSync(FOLDER).filter((name) => name.endsWith('.json'));
  if (files.length === 0) throw new Error('bench/results has no results: npm run bench');
  const shown = new Set<string>();
  const runs = files
    .sort()
    .reverse()
    .map((name) => {
      const run = JSON.parse(readFileSync(path.join(FOLDER, name), 'utf8')) as Results;
      const rows = run.rows.filter((row) => row.fluxion && !shown.has(row.name));
      for (const row of rows) shown.add(row.name);
      return { ...run, rows };
    });
  return runs.filter(({ rows }) => rows.length > 0);
}

// ---------------------------------------------------------------------------------------------------
// Tables

export interface Column {
  title: string;
  cell: (row: Row, results: Results) => string;
}

const digits = (value: number) =>
  value >= 100 ? value.toFixed(0) : value >= 10 ? value.toFixed(1) : value.toFixed(2);

export function duration(ns: number): string {
  if (ns < 1e4) return `${digits(ns)} ns`;
  return ns < 1e6 ? `${digits(ns / 1e3)} µs` : `${digits(ns / 1e6)} ms`;
}

const megabytes = (bytes?: number) => (bytes ? `${digits(bytes / 1e6)} MB` : '');

const percent = (share: number) => `${(100 * share).toFixed(share < 0.1 ? 1 : 0)} %`;

/** Bytes (or flops) of the floor per ns: GB/s (or GFLOP/s). */
const rate = (amount: number, { fluxion }: Row) => (fluxion ? amount / fluxion.median : NaN);

/** Shares of the ceilings, the larger of which says what bounds the case. */
export function shares(row: Row, { peaks }: Results): { copy: number; fma: number } {
  return {
    copy: rate(row.bytes, row) / copyPeak(peaks),
    fma: rate(row.flops, row) / fmaPeak(peaks, row.dtype),
  };
}

const measured =
  (text: (row: Row & { fluxion: Summary }, results: Results) => string) =>
  (row: Row, results: Results) =>
    row.fluxion ? text({ ...row, fluxion: row.fluxion }, results) : '';

const PEER_TITLES: Record<PeerName, string> = {
  torch: 'vs PyTorch',
  'torch-keep': 'vs PyTorch, kept memory',
  'typed-array': 'vs typed arrays',
  'fftw-estimate': 'vs FFTW, estimate',
  'fftw-measure': 'vs FFTW, measure',
};

const peerColumn = (name: PeerName): Column => ({
  title: PEER_TITLES[name],
  cell: ({ peers }) => (peers[name] ? `${digits(peers[name].ratio)} x` : ''),
});

export const COLUMNS: readonly Column[] = [
  { title: 'case', cell: ({ name }) => name },
  {
    title: 'time',
    cell: (row) => (row.fluxion ? duration(row.fluxion.median) : (row.error ?? '')),
  },
  {
    title: 'spread',
    cell: measured(({ fluxion }) => `± ${percent(fluxion.mad / fluxion.median)}`),
  },
  { title: 'GB/s', cell: measured((row) => digits(rate(row.bytes, row))) },
  { title: 'GFLOP/s', cell: measured((row) => digits(rate(row.flops, row))) },
  { title: 'of copy', cell: measured((row, results) => percent(shares(row, results).copy)) },
  { title: 'of FMA', cell: measured((row, results) => percent(shares(row, results).fma)) },
  {
    title: 'memory',
    cell: (row) => (row.name.includes('training') ? megabytes(row.fluxion?.peakBytes) : ''),
  },
  {
    title: "PyTorch's",
    cell: (row) => (row.name.includes('training') ? megabytes(row.peers.torch?.peakBytes) : ''),
  },
  peerColumn('torch'),
  peerColumn('torch-keep'),
  peerColumn('typed-array'),
  peerColumn('fftw-estimate'),
  peerColumn('fftw-measure'),
];

/** The cells of a table, the head first, without columns that are empty in every row. */
export function tableOf(results: Results): string[][] {
  const columns = COLUMNS.filter(({ cell }) => results.rows.some((row) => cell(row, results)));
  return [
    columns.map(({ title }) => title),
    ...results.rows.map((row) => columns.map(({ cell }) => cell(row, results))),
  ];
}

/** One line of text about where and when. */
export function provenance(results: Results): string {
  const { machine, commit, dirty, date, threads, instructionSet, peaks, peers } = results;
  const versions = peers.torch ? `PyTorch ${peers.torch}` : 'no PyTorch';
  return [
    `${machine.cpu}, ${machine.cores} cores, load ${digits(machine.load)} before`,
    `${threads} threads, ${instructionSet}`,
    `copy ${digits(copyPeak(peaks))} GB/s`,
    `FMA ${digits(fmaPeak(peaks, 'float32'))} / ${digits(fmaPeak(peaks, 'float64'))} GFLOP/s float32 / float64`,
    `Node.js ${machine.node}, ${versions}`,
    `commit ${commit}${dirty ? ' with changes' : ''}, ${date.slice(0, 10)}`,
  ].join('; ');
}
