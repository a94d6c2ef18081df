import { FluxionError, requireArgument, show } from '../errors';
import { gradEnabled } from '../tensor/scope';
import { type Tensor, isTensor } from '../tensor/tensor';
import { type Operand, requireTensor } from './define';
import { gelu, silu } from './elementwise-activation';
import { reluVjp, sigmoidVjp, tanhVjp } from './elementwise-activation-vjp';

// What conv2d and linear do in the last store of their sums: y = act(sum + bias + residual).

/** What is applied to the sums of {@link conv2d} and {@link linear} as they are stored. */
export type EpilogueActivation = 'none' | 'relu' | 'tanh' | 'sigmoid' | 'silu' | 'gelu';

export interface EpilogueOptions {
  /** Default none. */
  bias?: Tensor | null;
  /** Added before the activation; shaped as the result. Default none. An extension of PyTorch's signature. */
  residual?: Tensor | null;
  /** Applied last. Default 'none'. An extension of PyTorch's signature. */
  activation?: EpilogueActivation;
}

const ACTIVATIONS: readonly EpilogueActivation[] = [
  'none',
  'relu',
  'tanh',
  'sigmoid',
  'silu',
  'gelu',
];

/** The others' derivatives follow from their results. */
const OF_THE_ARGUMENT: Partial<Record<EpilogueActivation, (x: Tensor) => Tensor>> = { silu, gelu };

const OF_THE_RESULT: Partial<Record<EpilogueActivation, (g: Tensor, y: Tensor) => Tensor>> = {
  relu: (g, y) => reluVjp([g, y], undefined),
  tanh: (g, y) => tanhVjp([g, y], undefined),
  sigmoid: (g, y) => sigmoidVjp([g, y], undefined),
};

/** @internal Whether an activation can be named to an epilogue. */
export function isEpilogueActivation(name: string): name is EpilogueActivation {
  return (ACTIVATIONS as readonly string[]).includes(name);
}

/** @internal The options checked: tensors of the dtype of x, and a known activation. */
export function epilogueOf(
  op: string,
  x: Tensor,
  { bias, residual, activation }: Required<EpilogueOptions>,
): Required<EpilogueOptions> {
  requireArgument(
    isEpilogueActivation(activation),
    op,
    () => `activation must be one of ${ACTIVATIONS.join(', ')}, got ${show(activation)}`,
  );
  const alike = (argument: string, t: Tensor | null) => {
    if (t === null) return null;
    requireTensor(op, t, argument);
    if (t.dtype === x.dtype) return t;
    throw new FluxionError(
      'FLUXION_DTYPE_MISMATCH',
      op,
      `${argument} must be ${x.dtype}, got ${t.dtype}`,
    );
  };
  return { bias: alike('bias', bias), residual: alike('residual', residual), activation };
}

/** @internal
 * Runs an op with its activation in the last store, or after it where the derivative needs the argument:
 * silu and gelu of a recorded result keep it, as they would on their own.
 */
export function withActivation(
  inputs: readonly Operand[],
  activation: EpilogueActivation,
  run: (activation: EpilogueActivation) => Tensor,
): Tensor {
  const separate = OF_THE_ARGUMENT[activation];
  const recorded = gradEnabled() && inputs.some((input) => isTensor(input) && input.requiresGrad);
  return separate && recorded ? separate(run('none')) : run(activation);
}

/** @internal The cotangent of the sums, from that of the result and the result. */
export function throughActivation(
  activation: EpilogueActivation,
  g: Tensor,
  result: () => Tensor,
): Tensor {
  return OF_THE_RESULT[activation]?.(g, result()) ?? g;
}
