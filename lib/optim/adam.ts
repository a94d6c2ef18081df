import { requireArgument, show } from '../errors';
import type { Tensor } from '../tensor/tensor';
import {
  type CommonOptions,
  Optimizer,
  type Parameters,
  type Pending,
  requireRate,
  zerosLike,
} from './optimizer';
import { byNumber, defineUpdate, requireFlag } from './update';

interface AdamStepParams {
  learningRate: number;
  beta1: number;
  beta2: number;
  eps: number;
  weightDecay: number;
  decoupled: boolean;
  amsgrad: boolean;
  maximize: boolean;
  step: number;
}

const adamStep = defineUpdate<AdamStepParams>('adam_step');

export interface AdamOptions extends CommonOptions {
  /** Default 0.001. */
  learningRate: number;
  /** Decay of the two moments. Default [0.9, 0.999]. */
  betas: readonly [number, number];
  /** Added to the root of the second moment. Default 1e-8. */
  eps: number;
  /** Default 0 for Adam, 0.01 for AdamW. */
  weightDecay: number;
  /** Divides by the largest second moment so far; Reddi et al. (2018). Default false. */
  amsgrad: boolean;
  /** Goes up the gradient. Default false. */
  maximize: boolean;
}

abstract class AdamFamily extends Optimizer<AdamOptions> {
  protected constructor(
    op: string,
    parameters: Parameters<AdamOptions>,
    options: Partial<AdamOptions> | undefined,
    weightDecay: number,
    /** Whether weight decay acts on the parameter itself. */
    private readonly decoupled: boolean,
  ) {
    super(op, parameters, options, {
      learningRate: 1e-3,
      betas: [0.9, 0.999],
      eps: 1e-8,
      weightDecay,
      amsgrad: false,
      maximize: false,
    });
  }

  protected override check(options: AdamOptions): void {
    const { learningRate, betas, eps, weightDecay, amsgrad, maximize } = options;
    requireRate(this.op, 'learningRate', learningRate);
    requireRate(this.op, 'eps', eps);
    requireRate(this.op, 'weightDecay', weightDecay);
    requireFlag(this.op, 'amsgrad', amsgrad);
    requireFlag(this.op, 'maximize', maximize);
    requireArgument(
      Array.isArray(betas) && betas.length === 2 && betas.every((beta) => beta >= 0 && beta < 1),
      this.op,
      () => `betas must be two numbers in [0, 1), got ${show(betas)}`,
    );
  }

  protected override update(pending: readonly Pending[], options: AdamOptions): void {
    const { amsgrad } = options;
    const { decoupled } = this;
    // The corrections depend on the number of the step, which parameters without a gradient skip.
    for (const entries of byNumber(pending, ({ state }) => state.step as number).values()) {
      const items = entries.map(({ parameter, grad, state }) => {
        const m = (state.m ??= zerosLike(parameter)) as Tensor;
        const v = (state.v ??= zerosLike(parameter)) as Tensor;
        if (!amsgrad) return [parameter, grad, m, v];
        return [parameter, grad, m, v, (state.vMax ??= zerosLike(parameter)) as Tensor];
      });
      const updated = amsgrad ? [0, 2, 3, 4] : [0, 2, 3];
      adamStep(items, updated, () => {
        const { learningRate, betas, eps, weightDecay, maximize } = options;
        const [beta1, beta2] = betas;
        const step = (entries[0]!.state.step as number) + 1;
        for (const { state } of entries) state.step = step;
        return { learningRate, beta1, beta2, eps, weightDecay, decoupled, amsgrad, maximize, step };
      });
    }
  }
}

/**
 * Adam; Kingma and Ba (2015). With g the gradient (negated with maximize) and t the number of the step:
 *
 *     g += weightDecay p
 *     m = beta1 m + (1 - beta1) g,   v = beta2 v + (1 - beta2) g^2
 *     p -= learningRate (m / (1 - beta1^t)) / (sqrt(v / (1 - beta2^t)) + eps)
 *
 * With amsgrad the largest v so far stands in the place of v. Cost: one native call and one pass for all
 * parameters of a group; reads 16 and writes 12 bytes for each float32 parameter.
 */
export class Adam extends AdamFamily {
  constructor(parameters: Parameters<AdamOptions>, options?: Partial<AdamOptions>) {
    super('Adam', parameters, options, 0, false);
  }
}

/**
 * Adam with decoupled weight decay; Loshchilov and Hutter (2019): the parameter first shrinks by the factor
 * 1 - learningRate weightDecay, and g stays the plain gradient.
 */
export class AdamW extends AdamFamily {
  constructor(parameters: Parameters<AdamOptions>, options?: Partial<AdamOptions>) {
    super('AdamW', parameters, options, 0.01, true);
  }
}
