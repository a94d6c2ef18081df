import { upload } from '../tensor/handle';
import { Tensor, isTensor } from '../tensor/tensor';
import type { Optimizer, OptimizerState, ParameterState } from '../optim';

/** The numbers of an optimizer's state; its tensors are beside it, as `position.name`. */
export interface PackedOptimizer {
  groups: OptimizerState['groups'];
  state: Record<string, Record<string, number>>;
}

/** Splits the state of an optimizer into numbers and tensors. */
export function packOptimizer(optimizer: Optimizer): {
  packed: PackedOptimizer;
  tensors: Record<string, Tensor>;
} {
  const { groups, state } = optimizer.stateDict();
  const packed: PackedOptimizer = { groups, state: {} };
  const tensors: Record<string, Tensor> = {};
  for (const [position, entry] of Object.entries(state)) {
    const numbers: Record<string, number> = (packed.state[position] = {});
    for (const [name, value] of Object.entries(entry)) {
      if (isTensor(value)) tensors[`${position}.${name}`] = value;
      else numbers[name] = value;
    }
  }
  return { packed, tensors };
}

/** The other way round. */
export function unpackOptimizer(
  packed: PackedOptimizer,
  tensors: Readonly<Record<string, Tensor>>,
): ReturnType<Optimizer['stateDict']> {
  const state: Record<string, ParameterState> = {};
  for (const [position, numbers] of Object.entries(packed.state)) state[position] = { ...numbers };
  for (const [key, tensor] of Object.entries(tensors)) {
    const [position, name] = key.split('.') as [string, string];
    (state[position] ??= {})[name] = tensor;
  }
  return { groups: packed.groups, state } as ReturnType<Optimizer['stateDict']>;
}

/** A list of numbers as float64 [n]. */
export function tensorOf(values: readonly number[]): Tensor {
  return new Tensor(upload(Float64Array.from(values), 'float64', [values.length]));
}
