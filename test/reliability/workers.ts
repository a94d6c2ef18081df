// npm run reliability:workers -- --threads=8 --runs=5 --epochs=3
//
// Worker threads that train at the same time, each with its own tensors and random numbers: all end with the bits
// of a single one, with any number of threads for the kernels, and leave nothing behind.
import path from 'node:path';
import { Worker } from 'node:worker_threads';
import { type Outcome, argumentsOf, runRecorded } from './record';

interface Result {
  hashes: string[];
  left: number;
}

function train(runs: number, epochs: number, kernelThreads: number): Promise<Result> {
  const worker = new Worker(path.join(__dirname, 'workers-child.cjs'), {
    workerData: { runs, epochs },
    env: { ...process.env, FLUXION_NUM_THREADS: String(kernelThreads) },
  });
  return new Promise((resolve, reject) => worker.once('message', resolve).once('error', reject));
}

async function main(threads: number, runs: number, epochs: number): Promise<Outcome> {
  const single = await train(1, epochs, 1);
  const results = await Promise.all(
    Array.from({ length: threads }, (_, i) => train(runs, epochs, 1 + (i % 2))),
  );
  const different = results.flatMap(({ hashes }) => hashes).filter((h) => h !== single.hashes[0]);
  const left = results.reduce((sum, result) => sum + result.left, single.left);
  const details: string[] = [];
  if (different.length > 0) details.push(`${different.length} runs ended with other bits`);
  if (left > 0) details.push(`${left} tensors are left`);
  return {
    figures: {
      'worker threads at once': threads,
      'training runs': threads * runs,
      'runs with other bits than a single one': different.length,
      'tensors left': left,
    },
    failures: details.length,
    details,
  };
}

const { threads, runs, epochs } = argumentsOf({ threads: 8, runs: 5, epochs: 3 });
void runRecorded('workers', () => main(threads, runs, epochs));
