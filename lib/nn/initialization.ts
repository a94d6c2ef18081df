import type { Tensor } from '../tensor/tensor';
import { noGrad, tidy } from '../autograd/tidy';
import { rand, randn } from '../ops/random';
import { full } from '../ops/creation';
import { parameter } from './module';

/** A parameter drawn uniformly from [-bound, bound). */
export function uniformParameter(shape: readonly number[], bound: number): Tensor {
  return parameter(
    noGrad(() =>
      tidy(() =>
        rand([...shape])
          .mul(2 * bound)
          .sub(bound),
      ),
    ),
  );
}

/** A parameter drawn from std N(0, 1). */
export function normalParameter(shape: readonly number[], std: number): Tensor {
  return parameter(noGrad(() => tidy(() => randn(shape).mul(std))));
}

/** A parameter of one value. */
export function constantParameter(shape: readonly number[], value: number): Tensor {
  return parameter(full(shape, value));
}

/**
 * PyTorch's default for linear and convolution layers: weights and biases uniform in
 * [-1/sqrt(fanIn), 1/sqrt(fanIn)) (Kaiming uniform with a = sqrt(5)).
 */
export function defaultBound(fanIn: number): number {
  return fanIn > 0 ? 1 / Math.sqrt(fanIn) : 0;
}
