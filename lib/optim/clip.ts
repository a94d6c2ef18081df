import { requireArgument, show } from '../errors';
import { ownHandle } from '../tensor/assign';
import { MAX_OPERANDS } from '../tensor/handle';
import type { Tensor } from '../tensor/tensor';
import { noGrad } from '../autograd/tidy';
import { defineOp, requireTensor, withDefaults } from '../ops/define';
import { checkGradient } from './update';

const clipOp = defineOp<{ maxNorm: number; normType: number; errorIfNonfinite: boolean }>(
  'clip_grad_norm',
  { reason: 'it changes gradients outside of the recorded computation' },
);

export interface ClipGradNormOptions {
  /** The p of the norm, > 0; Infinity for the largest magnitude. Default 2. */
  normType?: number;
  /** A norm that is infinite or NaN is an error of the next read, and the gradients stay. Default false. */
  errorIfNonfinite?: boolean;
}

/**
 * Scales the gradients so that their common p-norm is at most `maxNorm`:
 *
 *     norm = (sum over all elements of all gradients |g|^p)^(1/p),   g *= min(1, maxNorm / (norm + 1e-6))
 *
 * Returns the norm before, a tensor of one number: nothing waits for it until it is read. A norm that is NaN
 * makes the gradients NaN, as in PyTorch.
 *
 * Cost: one read of the gradients, and a read and a write where they have to be scaled. The sum is in float64
 * and in a fixed order: the same bits for any number of threads.
 */
export function clipGradNorm(
  parameters: Tensor | Iterable<Tensor>,
  maxNorm: number,
  options?: ClipGradNormOptions,
): Tensor {
  const { normType, errorIfNonfinite } = withDefaults('clipGradNorm', options, {
    normType: 2,
    errorIfNonfinite: false,
  });
  requireArgument(
    typeof maxNorm === 'number' && maxNorm > 0,
    'clipGradNorm',
    () => `maxNorm must be a number > 0, got ${show(maxNorm)}`,
  );
  requireArgument(
    normType > 0,
    'clipGradNorm',
    () => `normType must be a number > 0, got ${show(normType)}`,
  );
  const given: unknown = parameters;
  const several = typeof given === 'object' && given !== null && Symbol.iterator in given;
  const grads = new Set<Tensor>();
  for (const parameter of several ? (given as Iterable<unknown>) : [given]) {
    requireTensor('clipGradNorm', parameter, 'parameters');
    if (!parameter.grad) continue;
    checkGradient('clipGradNorm', parameter, parameter.grad);
    grads.add(parameter.grad);
  }
  requireArgument(
    grads.size > 0 && grads.size <= MAX_OPERANDS,
    'clipGradNorm',
    () => `1 to ${MAX_OPERANDS} parameters must have a gradient, got ${grads.size}`,
  );
  for (const grad of grads) ownHandle(grad);
  return noGrad(() => clipOp([...grads], { maxNorm, normType, errorIfNonfinite }));
}
