import { sameShape } from '../tensor/shape';
import type { DeviceName } from '../tensor/device';
import type { Tensor } from '../tensor/tensor';
import { backward } from '../autograd/gradients';
import { noGrad } from '../autograd/tidy';
import { clipGradNorm } from '../optim';
import { type CapturedStep, capture } from './capture';
import type { FitOptions } from './fit-options';
import { type Model, apply, split } from './metrics';

/**
 * The step of `fit` as a graph of the GPU: forward, loss, metrics, backward and update in one launch. For
 * batches of the first one's shapes; a smaller last batch runs operation by operation.
 */
export class CapturedFit {
  private readonly step: CapturedStep<readonly Tensor[]>;
  private readonly names: readonly string[];
  private shapes: readonly (readonly number[])[] | null = null;

  constructor(model: Model, options: FitOptions, device: string) {
    const { loss, optimizer, metrics = {}, maxGradNorm } = options;
    this.names = ['loss', ...Object.keys(metrics)];
    this.step = capture(
      (...batch: readonly Tensor[]) => {
        const { inputs, target } = split(batch);
        optimizer.zeroGrad();
        const output = model.forward(...inputs);
        const value = loss(output, target);
        const figures = noGrad(() => apply(metrics, output, target));
        backward(value);
        if (maxGradNorm !== undefined) clipGradNorm(optimizer.parameters(), maxGradNorm);
        optimizer.step();
        return [value, ...Object.values(figures)];
      },
      { device: device as DeviceName },
    );
  }

  /** Whether a batch has the shapes that the graph is made for. */
  takes(batch: readonly Tensor[]): boolean {
    this.shapes ??= batch.map(({ shape }) => [...shape]);
    const { shapes } = this;
    return (
      batch.length === shapes.length && batch.every((t, i) => sameShape(t.shape, shapes[i]!))
    );
  }

  /** Makes a step; the figures are overwritten by the next. */
  run(batch: readonly Tensor[]): Record<string, Tensor> {
    const results = this.step(...batch);
    return Object.fromEntries(this.names.map((name, i) => [name, results[i]!]));
  }

  dispose(): void {
    this.step.dispose();
  }
}
