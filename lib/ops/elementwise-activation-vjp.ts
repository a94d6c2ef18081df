import { type OpFunction, defineOp } from './define';
import { mul, sub } from './elementwise';

// Adjoints of the activations whose derivatives follow from their results, g' = act'(y) g: of the activations
// themselves and of every op that ends in one.

/** @internal */
export const tanhVjp: OpFunction = defineOp('tanh_vjp', {
  saveInputs: [0, 1],
  vjp: ({ g, needs, input }) => [
    needs(0) ? tanhVjp([g, input(1)], undefined) : null,
    needs(1) ? mul(mul(mul(g, input(0)), input(1)), -2) : null,
  ],
});

/** @internal */
export const sigmoidVjp: OpFunction = defineOp('sigmoid_vjp', {
  saveInputs: [0, 1],
  vjp: ({ g, needs, input }) => [
    needs(0) ? sigmoidVjp([g, input(1)], undefined) : null,
    needs(1) ? mul(mul(g, input(0)), sub(1, mul(input(1), 2))) : null,
  ],
});

/** @internal */
export const reluVjp: OpFunction = defineOp('relu_vjp', {
  saveInputs: [1],
  vjp: ({ g, needs, input }) => [needs(0) ? reluVjp([g, input(1)], undefined) : null, null],
});
