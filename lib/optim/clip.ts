import { requireArgument, show } from '../errors';
import { assign } from '../tensor/assign';
import type { Tensor } from '../tensor/tensor';
import { noGrad, tidy } from '../autograd/tidy';
import { add, cast, clamp, div, mul, sqrt, square } from '../ops/elementwise';
import { sum } from '../ops/reduce';

/**
 * Scales the gradients so that their common 2-norm is at most `maxNorm`: g *= min(1, maxNorm / (norm +
 * 1e-6)). Returns the norm before, a tensor of one number: nothing waits for it until it is read.
 */
export function clipGradNorm(parameters: Iterable<Tensor>, maxNorm: number): Tensor {
  requireArgument(
    maxNorm > 0,
    'clipGradNorm',
    () => `maxNorm must be a number > 0, got ${show(maxNorm)}`,
  );
  const grads = [...parameters].flatMap((parameter) => parameter.grad ?? []);
  requireArgument(
    grads.length > 0,
    'clipGradNorm',
    'some parameter must have a gradient, none has',
  );
  return noGrad(() =>
    tidy(() => {
      const norm = sqrt(grads.map((grad) => sum(square(grad))).reduce((a, b) => add(a, b)));
      const scale = clamp(div(maxNorm, add(norm, 1e-6)), { max: 1 });
      for (const grad of grads) assign(grad, mul(grad, cast(scale, grad.dtype)));
      return norm;
    }),
  );
}
