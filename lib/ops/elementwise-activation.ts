import { requireArgument, show } from '../errors';
import type { Tensor } from '../tensor/tensor';
import { type OpFunction, defineOp, withDefaults } from './define';
import { add, gt, mul, where } from './elementwise';
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
const geluOp = unary('gelu', {
  saveInputs: [0],
  vjp: ({ g, input }) => [geluVjp([g, input(0)], undefined)],
});

export interface GeluOptions {
  /** 'tanh': x sigmoid(2 sqrt(2 / pi) (x + 0.044715 x^3)), in several passes. Default 'none': exact, in one. */
  approximate?: 'none' | 'tanh';
}

/** x Phi(x), Phi the normal distribution function (by erf), or its approximation by tanh. */
export function gelu(x: Tensor, options?: GeluOptions): Tensor {
  if (options === undefined) return geluOp(x);
  const { approximate } = withDefaults<Required<GeluOptions>>('gelu', options, {
    approximate: 'none',
  });
  requireArgument(
    approximate === 'none' || approximate === 'tanh',
    'gelu',
    () => `approximate must be 'none' or 'tanh', got ${show(approximate)}`,
  );
  if (approximate === 'none') return geluOp(x);
  const u = floating('gelu', x);
  const cubic = mul(u, add(mul(mul(u, u), 0.044715), 1));
  return mul(u, sigmoid(mul(cubic, 2 * Math.sqrt(2 / Math.PI))));
}

const siluVjp = defineOp('silu_vjp', {});
/** x sigmoid(x), also called swish. */
export const silu = unary('silu', {
  saveInputs: [0],
  vjp: ({ g, input }) => [siluVjp([g, input(0)], undefined)],
});

const softplusOp = unary('softplus', {
  saveInputs: [0],
  vjp: ({ g, input }) => [mul(g, sigmoid(input(0)))],
});

export interface SoftplusOptions {
  /** Default 1. */
  beta?: number;
  /** Where beta x is above it, the result is x. Default Infinity: never. */
  threshold?: number;
}

/**
 * log(1 + e^(beta x)) / beta, computed without overflow and exact to rounding for every x. Options other than
 * the defaults take several passes.
 */
export function softplus(x: Tensor, options?: SoftplusOptions): Tensor {
  if (options === undefined) return softplusOp(x);
  const op = 'softplus';
  const { beta, threshold } = withDefaults(op, options, { beta: 1, threshold: Infinity });
  requireArgument(
    Number.isFinite(beta) && beta !== 0,
    op,
    () => `beta must be a finite number other than 0, got ${show(beta)}`,
  );
  requireArgument(
    typeof threshold === 'number' && !Number.isNaN(threshold),
    op,
    () => `threshold must be a number, got ${show(threshold)}`,
  );
  const u = floating(op, x);
  const scaled = beta === 1 ? u : mul(u, beta);
  const y = beta === 1 ? softplusOp(scaled) : mul(softplusOp(scaled), 1 / beta);
  return threshold === Infinity ? y : where(gt(scaled, threshold), u, y);
}
