// A training run with a checkpoint after every step and a log, in the folder of the first argument; prints a hash of
// all it leaves. Says so after each step: the parent knows how far it was when it killed it.
import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import path from 'node:path';
import { fit, jsonLog } from '../../lib/train';
import { makeRun, weightsOf } from '../train/small-run';

interface Line {
  kind: string;
  step: number;
  epoch: number;
  loss: number;
}

async function main(): Promise<void> {
  const folder = process.argv[2]!;
  const { model, loader, options } = makeRun({ epochs: 3 });
  const file = path.join(folder, 'log.jsonl');
  const { losses } = await fit(model, loader, {
    ...options,
    checkpoint: { path: path.join(folder, 'checkpoint'), every: { steps: 1 } },
    callbacks: [jsonLog(file, { everySteps: 1 }), { onStep: ({ step }) => process.send?.(step) }],
  });
  const lines = readFileSync(file, 'utf8').trimEnd().split('\n');
  // All but the times and the memory.
  const logged = lines.map((line) => {
    const { kind, step, epoch, loss } = JSON.parse(line) as Line;
    return [kind, step, epoch, loss];
  });
  const text = (await weightsOf(model)) + JSON.stringify([losses, logged]);
  process.stdout.write(createHash('sha256').update(text).digest('hex'));
  process.disconnect?.();
}

void main();
