// npm run reliability:kill -- --kills=230 --seed=1
//
// Trains in a child process that is killed (SIGKILL) at random moments: in seven of eight cases after its first step
// (between steps, while it writes a checkpoint or a log), in the eighth while it loads. After each kill the checkpoint that is named must be whole and no older than the
// one before, and each run that comes to its end must leave the bits of one that was never killed: weights, losses,
// lines of the log.
import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { readCheckpoint } from '../../lib/train';
import { randomStream } from '../cases/case';
import { type Outcome, ROOT, argumentsOf, runRecorded } from './record';

interface Attempt {
  hash: string;
  killed: boolean;
  /** Steps that it reported. */
  first: number;
  last: number;
  /** Milliseconds from the start to the first step, and from there to the last. */
  loading: number;
  training: number;
}

type Plan = 'never' | { after: 'start' | 'first step'; milliseconds: number };

function start(folder: string): ChildProcess {
  return fork(path.join(__dirname, 'kill-child.ts'), [folder], {
    execArgv: ['-r', path.join(ROOT, 'test/register-typescript.cjs')],
    env: { ...process.env, FLUXION_NUM_THREADS: '1' },
    stdio: ['ignore', 'pipe', 'inherit', 'ipc'],
  });
}

async function attempt(folder: string, plan: Plan): Promise<Attempt> {
  const child = start(folder);
  const result: Attempt = { hash: '', killed: false, first: 0, last: 0, loading: 0, training: 0 };
  const begun = performance.now();
  const killLater = (milliseconds: number) => setTimeout(() => child.kill('SIGKILL'), milliseconds);
  if (plan !== 'never' && plan.after === 'start') killLater(plan.milliseconds);
  let firstAt = 0;
  let planned = plan !== 'never' && plan.after === 'first step';
  child.stdout!.on('data', (text: Buffer) => (result.hash += text.toString()));
  child.on('message', (step: number) => {
    if (planned && plan !== 'never') killLater(plan.milliseconds);
    planned = false;
    if (result.first === 0) firstAt = performance.now();
    result.loading = firstAt - begun;
    result.first ||= step;
    result.last = step;
    result.training = performance.now() - firstAt;
  });
  const [status, signal] = (await once(child, 'close')) as [number | null, string | null];
  if (signal === null && status !== 0) throw new Error(`the run ended with status ${status}`);
  return { ...result, killed: signal === 'SIGKILL' };
}

/** Steps of the checkpoint that a folder names, which must be whole; 0 where it names none. */
async function completedSteps(folder: string): Promise<number> {
  const found = await readCheckpoint(path.join(folder, 'checkpoint'));
  const steps = found?.tensors.history?.losses?.size ?? 0;
  for (const tensors of Object.values(found?.tensors ?? {}))
    for (const t of Object.values(tensors)) t.dispose();
  return steps;
}

/** Files of writes that were cut off: at most one checkpoint and one pointer beside the valid ones. */
function leftovers(folder: string): number {
  try {
    return Math.max(0, readdirSync(path.join(folder, 'checkpoint')).length - 2);
  } catch {
    return 0; // killed before it was made
  }
}

async function main(kills: number, seed: number): Promise<Outcome> {
  const random = randomStream(seed);
  const root = mkdtempSync(path.join(tmpdir(), 'fluxion-kill-'));
  const details: string[] = [];
  const counts = { survived: 0, resumed: 0, runs: 0, early: 0, steps: 0, leftovers: 0 };
  try {
    const { hash: expected, last } = await attempt(path.join(root, 'whole'), 'never');
    const { training, loading } = await attempt(path.join(root, 'timed'), 'never');
    while (counts.survived < kills && details.length < 20) {
      const folder = path.join(root, `run-${counts.runs}`);
      let before = 0;
      for (;;) {
        // At last it may finish. A quarter of the run from the first step on, that most runs are killed several times.
        const plan: Plan =
          counts.survived >= kills
            ? 'never'
            : random() < 1 / 8
              ? { after: 'start', milliseconds: random() * loading }
              : { after: 'first step', milliseconds: (random() * training) / 4 };
        const { hash, killed, first, last: reached } = await attempt(folder, plan);
        if (first > 1) counts.resumed++;
        if (!killed) {
          if (hash !== expected) details.push(`run ${counts.runs} ended with other bits`);
          break;
        }
        counts.survived++;
        if (reached === 0) counts.early++;
        counts.steps += reached === 0 ? 0 : reached - first + 1;
        const now = await completedSteps(folder);
        if (!(now >= before)) details.push(`step ${now} after step ${before} was complete`);
        // The step that was reported last may be lost, no other: its checkpoint was being written.
        if (reached > 0 && now < reached - 1) details.push(`step ${now} after ${reached} was made`);
        before = now;
        counts.leftovers = Math.max(counts.leftovers, leftovers(folder));
      }
      counts.runs++;
    }
    return {
      figures: {
        'kills survived': counts.survived,
        'of them in training, after a step': counts.survived - counts.early,
        'of them before the first step': counts.early,
        'steps of a run': last,
        'runs that came to their end': counts.runs,
        'processes that resumed': counts.resumed,
        'steps made by killed processes': counts.steps,
        'most leftovers beside a valid checkpoint': counts.leftovers,
        'runs with other bits': details.filter((text) => /bits/.test(text)).length,
        'completed steps lost': details.filter((text) => /after/.test(text)).length,
      },
      failures: details.length,
      details,
    };
  } finally {
    rmSync(root, { recursive: true, force: true });
  }
}

const { kills, seed } = argumentsOf({ kills: 230, seed: 1 });
void runRecorded('kill', () => main(kills, seed));
