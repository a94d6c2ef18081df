// Gradients of a whole network in float64 against central differences.
import type { nn } from '../../lib';
import { type Tensor, noGrad, randn, tidy } from '../../lib';
import { assign } from '../../lib/tensor/assign';

const EPSILON = 1e-6;

/**
 * Compares d <w, model(x)> along one random direction of all parameters and of x with central differences.
 * Returns the relative error. The model must be in float64 and smooth near its parameters.
 */
export function directionalError(
  model: nn.Module & { forward(x: Tensor): Tensor },
  input: Tensor,
): number {
  return tidy(() => {
    const x = input.clone();
    x.requiresGrad = true;
    const leaves = [...model.parameters(), x];
    const directions = leaves.map((leaf, i) =>
      randn(leaf.shape, { dtype: 'float64', seed: 100 + i }),
    );
    const output = model.forward(x);
    const weights = randn(output.shape, { dtype: 'float64', seed: 99 });
    output.mul(weights).sum().backward();
    let slope = 0;
    let size = 0;
    leaves.forEach((leaf, i) => {
      if (!leaf.grad) throw new Error(`parameter ${i} has no gradient`);
      slope += leaf.grad.mul(directions[i]!).sum().item();
      size += leaf.grad.mul(leaf.grad).sum().item();
      leaf.grad.dispose();
      leaf.grad = null;
    });
    const starts = leaves.map((leaf) => leaf.detach().clone());
    const valueAt = (step: number) =>
      noGrad(() => {
        leaves.forEach((leaf, i) => assign(leaf, starts[i]!.add(directions[i]!.mul(step))));
        return model.forward(x).mul(weights).sum().item();
      });
    const difference = (valueAt(EPSILON) - valueAt(-EPSILON)) / (2 * EPSILON);
    leaves.forEach((leaf, i) => assign(leaf, starts[i]!));
    return Math.abs(slope - difference) / Math.sqrt(size);
  });
}
