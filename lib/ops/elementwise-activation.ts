import type { Tensor } from '../tensor/tensor';
import { type OpFunction, defineOp, withDefaults } from './define';
import { mul } from './elementwise';
import { reluVjp, sigmoidVjp, tanhVjp } from './elementwise-activation-vjp';
import { floating, unary } from './promote';

// Activations, each with a fused adjoint. Integers are taken as float32.

/** Hyperbolic tangent. */
export const tanh = unary('tanh', {
  saveOutputs: [0],
  vjp: ({ g, output }) => [tanhVjp([g, output(0)], undefined)],
});

/** 1 / (1 + e^-x). */
export const sigmoid = unary('sigmoid', {
  saveOutputs: [0],
  vjp: ({ g, output }) => [sigmoidVjp([g, output(0)], undefined)],
});

/** max(x, 0); the gradient at 0 is 0. NaN stays NaN. */
export const relu = unary('relu', {
  saveOutputs: [0],
  vjp: ({ g, output }) => [reluVjp([g, output(0)], undefined)],
});

export interface LeakyReluOptions {
  /** Slope below 0. Default 0.01. */
  negativeSlope?: number;
}
const leakyReluVjp: OpFunction<{ negativeSlope: number }> = defineOp<{ negativeSlope: number }>(
  'leaky_relu_vjp',
  {
    saveInputs: [1],
    vjp: ({ g, needs, input, params }) => [
      needs(0) ? leakyReluVjp([g, input(1)], params) : null,
      null,
    ],
  },
);
const leakyReluOp = defineOp<{ negativeSlope: number }>('leaky_relu', {
  saveInputs: [0],
  vjp: ({ g, input, params }) => [leakyReluVjp([g, input(0)], params)],
});
/** x for x > 0, else negativeSlope x. */
export function leakyRelu(x: Tensor, options?: LeakyReluOptions): Tensor {
  const params = withDefaults('leakyRelu', options, { negativeSlope: 0.01 });
  return leakyReluOp([floating('leakyRelu', x)], params);
}

export interface EluOptions {
  /** Minus the limit at -Infinity. Default 1. */
  alpha?: number;
}
const eluVjp = defineOp<{ alpha: number }>('elu_vjp', {});
const eluOp = defineOp<{ alpha: number }>('elu', {
  saveInputs: [0],
  vjp: ({ g, input, params }) => [eluVjp([g, input(0)], params)],
});
/** x for x > 0, else alpha (e^x - 1). */
export function elu(x: Tensor, options?: EluOptions): Tensor {
  return eluOp([floating('elu', x)], withDefaults('elu', options, { alpha: 1 }));
}

const geluVjp = defineOp('gelu_vjp', {});
/** x Phi(x), Phi the normal distribution function (the exact form, by erf). */
export const gelu = unary('gelu', {
  saveInputs: [0],
  vjp: ({ g, input }) => [geluVjp([g, input(0)], undefined)],
});

const siluVjp = defineOp('silu_vjp', {});
/** x sigmoid(x), also called swish. */
export const silu = unary('silu', {
  saveInputs: [0],
  vjp: ({ g, input }) => [siluVjp([g, input(0)], undefined)],
});

/** log(1 + e^x), computed without overflow. */
export const softplus = unary('softplus', {
  saveInputs: [0],
  vjp: ({ g, input }) => [mul(g, sigmoid(input(0)))],
});
