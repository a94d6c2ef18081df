// Runs out of memory in one of several ways, goes on, and trains; prints what happened and a hash of the weights.
import { createHash } from 'node:crypto';
import { FluxionError, type Tensor, memory, ones, tensor, tidy, zeros } from '../../lib';
import { fit } from '../../lib/train';
import { makeRun, weightsOf } from '../train/small-run';

const MIB = 1 << 18; // float32 elements

/** What it prints, as JSON. */
export interface Report {
  errors: number;
  codes: string[];
  others: string[];
  left: number;
  hash: string;
}

const report: Report = { errors: 0, codes: [], others: [], left: 0, hash: '' };

/** Counts what a call throws. */
function attempt<T>(run: () => T): T | undefined {
  try {
    return run();
  } catch (error) {
    report.errors++;
    if (error instanceof FluxionError) report.codes.push(error.code);
    else report.others.push(String(error));
    return undefined;
  }
}

/** Tensors until there is no memory; then they go. */
function fill(mib: number): void {
  const held: Tensor[] = [];
  for (let i = 0; i < 4096; i++) {
    const t = attempt(() => ones([mib, MIB]));
    if (!t) break;
    held.push(t);
  }
  // With the memory full, operators, reads and uploads fail or succeed, and say so.
  attempt(() => held[0]?.add(1).dispose());
  attempt(() => tidy(() => void held[0]?.matmul(held[0].permute([1, 0]))));
  attempt(() => void held[0]?.dataSync());
  attempt(() => tensor(new Float32Array(16)).dispose());
  for (const t of held) t.dispose();
  held.length = 0;
  globalThis.gc!(); // what dataSync gave lies in the same address space
}

const SCENES: Record<string, () => void> = {
  /** A tensor larger than any machine's memory, and sizes beyond 2^53. */
  huge: () => {
    for (const shape of [[2 ** 40], [2 ** 20, 2 ** 20, 2 ** 20], [2 ** 50, 2 ** 50]])
      attempt(() => zeros(shape));
    attempt(() =>
      tidy(
        () =>
          void zeros([1])
            .expand([2 ** 40])
            .add(1),
      ),
    );
    attempt(() =>
      tidy(
        () =>
          void zeros([1])
            .expand([2 ** 40])
            .dataSync(),
      ),
    );
    attempt(() =>
      tidy(
        () =>
          void ones([1, 2 ** 20])
            .permute([1, 0])
            .matmul(ones([1, 2 ** 20])),
      ),
    );
  },
  /** Up to a limit of the process or of the setting, several times. */
  full: () => {
    for (const mib of [128, 32, 128]) fill(mib);
  },
};

async function main(): Promise<void> {
  SCENES[process.argv[2]!]!();
  report.left = memory().tensors;
  const { model, loader, options } = makeRun({ epochs: 1 });
  await fit(model, loader, options);
  report.hash = createHash('sha256')
    .update(await weightsOf(model))
    .digest('hex');
  console.log(JSON.stringify(report));
}

void main();
