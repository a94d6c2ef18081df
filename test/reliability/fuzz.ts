// npm run reliability:fuzz -- --executions=20000 --seed=1 --only=png
//
// Coverage-guided fuzzing of every reader of files: files are changed at random, and those that make a reader do
// what no file did before are changed further. Each must be read, or refused with a documented code; in bounded
// time and memory; without a tensor or an open file left. Readers run in child processes: a crash or a hang is
// counted, and the file that did it kept in build/fuzz.
import { copyFileSync, existsSync, mkdirSync, mkdtempSync, rmSync, writeSync } from 'node:fs';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { instrument } from './fuzz/coverage';
import type * as Engine from './fuzz/engine';
import type { FuzzReport } from './fuzz/engine';
import { type Outcome, ROOT, argumentsOf, runRecorded } from './record';
import { supervise } from './supervised';

const settings = argumentsOf({ executions: 20000, seed: 1, only: '', child: '', folder: '' });

const READERS = [
  ...['idx', 'npy', 'npz', 'safetensors', 'png', 'jpeg', 'hdf5', 'checkpoint', 'log'],
  'configuration',
];
/** What the fuzzer learns from: the readers, and the decoders that they call. */
const WATCHED = new RegExp(
  [
    'lib.data.(idx|npy|zip|safetensors|image|widen|hdf5|file-bytes|byte-source|corrupt-file)[.]',
    'lib.train.(checkpoint|json-log)[.]|lib.cli.training-config|node_modules.(pngjs|jpeg-js).',
  ].join('|'),
);
/** Of the executions: HDF5 runs in WebAssembly, a checkpoint is four files. */
const SHARE: Record<string, number> = { hdf5: 0.1, log: 0.2, configuration: 0.2, checkpoint: 0.5 };
const PATIENCE = 120_000;

async function child(name: string): Promise<void> {
  instrument(WATCHED);
  // Loads the readers: now they are counted.
  const { fuzzReader } = createRequire(__filename)('./fuzz/engine') as typeof Engine;
  await fuzzReader(name, {
    folder: settings.folder,
    executions: Math.max(1, Math.round(settings.executions * (SHARE[name] ?? 1))),
    seed: settings.seed,
    say: (report) => void writeSync(1, `${JSON.stringify(report)}\n`),
  });
}

async function fuzz(name: string): Promise<FuzzReport> {
  // Shared memory where there is some: the files are small and many.
  const shared = existsSync('/dev/shm') ? '/dev/shm' : tmpdir();
  const folder = mkdtempSync(path.join(shared, 'fluxion-fuzz-'));
  let report: FuzzReport = {
    ...{ reader: name, executions: 0, accepted: 0, refused: {}, corpus: 0, reached: 0 },
    ...{ counters: 0, slowest: 0, peak: 0, failures: [] },
  };
  try {
    const { executions, seed } = settings;
    const args = [`--executions=${executions}`, `--seed=${seed}`];
    const ended = await supervise<FuzzReport>(
      {
        program: __filename,
        args: [...args, `--child=${name}`, `--folder=${folder}`],
        env: { FLUXION_MEMORY_LIMIT: '512M', FLUXION_NUM_THREADS: '1' },
        patience: PATIENCE,
      },
      (line) => (report = line),
    );
    if (ended !== null) {
      const kept = path.join(ROOT, 'build/fuzz', `${name}-ended`);
      mkdirSync(path.dirname(kept), { recursive: true });
      if (existsSync(path.join(folder, 'input'))) copyFileSync(path.join(folder, 'input'), kept);
      report.failures.push(`${name}: ${ended} (${path.relative(ROOT, kept)})`);
    }
    return report;
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

async function main(): Promise<Outcome> {
  const reports: FuzzReport[] = [];
  for (const name of READERS.filter((reader) => reader.includes(settings.only)))
    reports.push(await fuzz(name));
  const total = (of: (r: FuzzReport) => number) => reports.reduce((sum, r) => sum + of(r), 0);
  const largest = (of: (r: FuzzReport) => number) => Math.round(Math.max(...reports.map(of)));
  const refused = (r: FuzzReport) => Object.values(r.refused).reduce((a, b) => a + b, 0);
  const details = reports.flatMap((r) => r.failures);
  return {
    figures: {
      readers: reports.length,
      executions: total((r) => r.executions),
      'files refused with a code': total(refused),
      'files read': total((r) => r.accepted),
      'slowest execution, ms of the processor': largest((r) => r.slowest),
      'largest growth of the process, MB': largest((r) => r.peak / 1e6),
      ...Object.fromEntries(
        reports.map((r) => [
          `executions, ${r.reader}`,
          `${r.executions}: ${r.accepted} read, ${refused(r)} refused; ` +
            `${r.reached} of ${r.counters} points of the code reached`,
        ]),
      ),
    },
    failures: details.length,
    details,
  };
}

if (settings.child !== '') void child(settings.child);
else void runRecorded('fuzz', main);
