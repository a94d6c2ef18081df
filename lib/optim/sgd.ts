import { requireArgument, show } from '../errors';
import { assign } from '../tensor/assign';
import type { Tensor } from '../tensor/tensor';
import { keep } from '../autograd/tidy';
import { defineOpWithOutputs } from '../ops/define';
import { Optimizer, type ParameterState, type Parameters, requireRate } from './optimizer';

export interface SGDOptions {
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
}

const sgdStep = defineOpWithOutputs<SGDOptions & { first: boolean }>('sgd_step', {
  reason: 'an optimizer changes parameters outside of the recorded computation',
});

/**
 * Stochastic gradient descent, with PyTorch's momentum. With g the gradient and b the buffer:
 *
 *     g += weightDecay p
 *     b = momentum b + (1 - dampening) g      (b = g at the first step)
 *     p -= learningRate b                      (nesterov: learningRate (g + momentum b))
 *
 * Without momentum there is no buffer and p -= learningRate g.
 */
export class SGD extends Optimizer<SGDOptions> {
  constructor(parameters: Parameters<SGDOptions>, options?: Partial<SGDOptions>) {
    super('SGD', parameters, options, {
      learningRate: 1e-3,
      momentum: 0,
      dampening: 0,
      weightDecay: 0,
      nesterov: false,
    });
  }

  protected override check(options: SGDOptions): void {
    requireRate(this.op, 'learningRate', options.learningRate);
    requireRate(this.op, 'momentum', options.momentum);
    requireRate(this.op, 'weightDecay', options.weightDecay);
    requireArgument(
      Number.isFinite(options.dampening),
      this.op,
      () => `dampening must be a number, got ${show(options.dampening)}`,
    );
    requireArgument(
      !options.nesterov || (options.momentum > 0 && options.dampening === 0),
      this.op,
      () =>
        `nesterov must come with momentum > 0 and dampening 0, ` +
        `got ${options.momentum} and ${options.dampening}`,
    );
  }

  protected override update(
    parameter: Tensor,
    grad: Tensor,
    { learningRate, momentum, dampening, weightDecay, nesterov }: SGDOptions,
    state: ParameterState,
  ): Tensor {
    const buffer = (state.momentum as Tensor | undefined) ?? null;
    const [fresh, freshBuffer] = sgdStep(
      [parameter, grad, buffer],
      { learningRate, momentum, dampening, weightDecay, nesterov, first: buffer === null },
      momentum > 0 ? 0b11 : 0b01,
    );
    if (buffer && freshBuffer) {
      assign(buffer, freshBuffer);
      freshBuffer.dispose();
    } else if (freshBuffer) {
      state.momentum = keep(freshBuffer);
    }
    state.step = (state.step as number) + 1;
    return fresh!;
  }
}
