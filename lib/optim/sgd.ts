import { requireArgument } from '../errors';
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

export interface SGDOptions extends CommonOptions {
  /** Default 0.001. */
  learningRate: number;
  /** Default 0. */
  momentum: number;
  /** Default 0. */
  dampening: number;
  /** Default 0. */
  weightDecay: number;
  /** Default false. */
  nesterov: boolean;
  /** Goes up the gradient. Default false. */
  maximize: boolean;
}

const sgdStep = defineUpdate<SGDOptions & { first: boolean }>('sgd_step');

/**
 * Stochastic gradient descent, with PyTorch's momentum. With g the gradient (negated with maximize) and b
 * the buffer:
 *
 *     g += weightDecay p
 *     b = momentum b + (1 - dampening) g      (b = g at the first step)
 *     p -= learningRate b                      (nesterov: learningRate (g + momentum b))
 *
 * Without momentum there is no buffer and p -= learningRate g. Cost: one native call and one pass for all
 * parameters of a group; 20 bytes for each float32 parameter, 12 without momentum.
 */
export class SGD extends Optimizer<SGDOptions> {
  constructor(parameters: Parameters<SGDOptions>, options?: Partial<SGDOptions>) {
    super('SGD', parameters, options, {
      learningRate: 1e-3,
      momentum: 0,
      dampening: 0,
      weightDecay: 0,
      nesterov: false,
      maximize: false,
    });
  }

  protected override check(options: SGDOptions): void {
    requireRate(this.op, 'learningRate', options.learningRate);
    requireRate(this.op, 'momentum', options.momentum);
    requireRate(this.op, 'weightDecay', options.weightDecay);
    requireFlag(this.op, 'nesterov', options.nesterov);
    requireFlag(this.op, 'maximize', options.maximize);
    requireArgument(
      Number.isFinite(options.dampening),
      this.op,
      () => `dampening must be a number, got ${String(options.dampening)}`,
    );
    requireArgument(
      !options.nesterov || (options.momentum > 0 && options.dampening === 0),
      this.op,
      () =>
        `nesterov must come with momentum > 0 and dampening 0, ` +
        `got ${options.momentum} and ${options.dampening}`,
    );
  }

  protected override update(pending: readonly Pending[], options: SGDOptions): void {
    const { momentum } = options;
    // Only the first step of a parameter finds no buffer.
    for (const [first, entries] of byNumber(pending, ({ state }) => Number(!state.momentum))) {
      const items = entries.map(({ parameter, grad, state }) =>
        momentum > 0
          ? [parameter, grad, (state.momentum ??= zerosLike(parameter)) as Tensor]
          : [parameter, grad],
      );
      let begins = first === 1;
      sgdStep(items, momentum > 0 ? [0, 2] : [0], () => {
        const { learningRate, dampening, weightDecay, nesterov, maximize } = options;
        for (const { state } of entries) state.step = (state.step as number) + 1;
        const params = { learningRate, momentum, dampening, weightDecay, nesterov, maximize };
        const step = { ...params, first: begins };
        begins = false;
        return step;
      });
    }
  }
}
