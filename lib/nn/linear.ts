import { requireArgument, show } from '../errors';
import type { Tensor } from '../tensor/tensor';
import { withDefaults } from '../ops/define';
import { linear } from '../ops/linalg';
import { defaultBound, uniformParameter } from './initialization';
import { Module } from './module';

/** Requires positive whole numbers, naming the layer and the argument. */
export function requireSizes(op: string, sizes: Record<string, number>): void {
  for (const [name, value] of Object.entries(sizes)) {
    requireArgument(
      Number.isInteger(value) && value > 0,
      op,
      () => `${name} must be an integer > 0, got ${show(value)}`,
    );
  }
}

/** y = x W^T + b on the last axis. weight [outFeatures, inFeatures], bias [outFeatures]. */
export class Linear extends Module {
  readonly weight: Tensor;
  readonly bias: Tensor | null;

  constructor(inFeatures: number, outFeatures: number, options?: { bias?: boolean }) {
    super();
    requireSizes('Linear', { inFeatures, outFeatures });
    const { bias } = withDefaults('Linear', options, { bias: true });
    const bound = defaultBound(inFeatures);
    this.weight = uniformParameter([outFeatures, inFeatures], bound);
    this.bias = bias ? uniformParameter([outFeatures], bound) : null;
  }

  forward(x: Tensor): Tensor {
    return linear(x, this.weight, { bias: this.bias ?? undefined });
  }
}
