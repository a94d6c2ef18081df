import type { DeviceName } from '../tensor/device';
import type { Tensor } from '../tensor/tensor';
import { keep, noGrad, tidy } from '../autograd/tidy';
import { to } from '../ops/shape';
import type { BatchSource } from '../data';
import type { Module } from '../nn';

/** A model whose inputs and output are tensors. */
export type Model = Module & { forward(...inputs: Tensor[]): Tensor };

/** A number, as a tensor, from the output of a model and the target: the mean over the batch. */
export type BatchFunction = (output: Tensor, target: Tensor) => Tensor;
export type Metrics = Readonly<Record<string, BatchFunction>>;

/** Means over the samples of several batches. */
export class RunningMeans {
  private samples = 0;
  private sums: Record<string, number> = {};

  add(samples: number, values: Readonly<Record<string, number>>): void {
    this.samples += samples;
    for (const [name, value] of Object.entries(values)) {
      this.sums[name] = (this.sums[name] ?? 0) + samples * value;
    }
  }

  get(): Record<string, number> {
    const means = Object.entries(this.sums).map(
      ([name, sum]) => [name, sum / this.samples] as const,
    );
    return Object.fromEntries(means);
  }

  state(): { samples: number; sums: Record<string, number> } {
    return { samples: this.samples, sums: { ...this.sums } };
  }

  restore(state: { samples: number; sums: Record<string, number> }): void {
    this.samples = state.samples;
    this.sums = { ...state.sums };
  }
}

/** Splits a batch into the inputs of the model and the target, its last tensor; a single one is both. */
export function split(batch: readonly Tensor[]): { inputs: readonly Tensor[]; target: Tensor } {
  return {
    inputs: batch.length > 1 ? batch.slice(0, -1) : batch,
    target: batch[batch.length - 1]!,
  };
}

/** A batch on the device of the model's parameters; tensors that were elsewhere are released. */
export function onDeviceOf(model: Module, batch: readonly Tensor[]): readonly Tensor[] {
  const device = model.parameters()[0]?.device ?? batch[0]?.device;
  return batch.map((tensor) => {
    if (tensor.device === device) return tensor;
    const moved = keep(noGrad(() => to(tensor, device as DeviceName)));
    tensor.dispose();
    return moved;
  });
}

/** Starts to read values, to be released by the scope; the promise gives them as numbers. */
export function readNumbers(
  values: Readonly<Record<string, Tensor>>,
): Promise<Record<string, number>> {
  const reads = Object.entries(values).map(
    async ([name, tensor]) => [name, (await tensor.data())[0]!] as const,
  );
  const numbers = Promise.all(reads).then((entries) => Object.fromEntries(entries));
  numbers.catch(() => undefined); // whoever awaits it sees the error
  return numbers;
}

export interface EvaluateOptions {
  loss?: BatchFunction;
  metrics?: Metrics;
  signal?: AbortSignal;
}

/**
 * Means of the loss (as `loss`) and the metrics over a data set, in eval mode and without gradients. The
 * event loop stays free. An aborted signal ends it after the current batch, with the means so far.
 */
export async function evaluate(
  model: Model,
  loader: BatchSource,
  options: EvaluateOptions = {},
): Promise<Record<string, number>> {
  const functions = { ...(options.loss ? { loss: options.loss } : {}), ...options.metrics };
  const means = new RunningMeans();
  const wasTraining = model.training;
  model.eval();
  try {
    let before: Promise<void> | undefined;
    for await (const given of loader.batches({ epoch: 0 })) {
      const batch = onDeviceOf(model, given);
      const { inputs, target } = split(batch);
      const samples = target.shape[0] ?? 1;
      let numbers: Promise<Record<string, number>>;
      try {
        numbers = noGrad(() =>
          tidy(() => readNumbers(apply(functions, model.forward(...inputs), target))),
        );
      } finally {
        for (const tensor of batch) tensor.dispose();
      }
      await before; // one batch is computed while the numbers of the one before are awaited
      before = numbers.then((values) => means.add(samples, values));
      before.catch(() => undefined);
      if (options.signal?.aborted) break;
    }
    await before;
  } finally {
    model.train(wasTraining);
  }
  return means.get();
}

/** The value of each function. */
export function apply(functions: Metrics, output: Tensor, target: Tensor): Record<string, Tensor> {
  const values = Object.entries(functions).map(([name, fn]) => [name, fn(output, target)] as const);
  return Object.fromEntries(values);
}
