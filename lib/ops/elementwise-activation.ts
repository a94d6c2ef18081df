import { requireArgument, show } from '../errors';
import type { Tensor } from '../tensor/tensor';
import { type OpFunction, defineOp, withDefaults } from './define';
import { add, clamp, exp, gt, le, mul, square, sub, where } from './elementwise';
import { reluVjp, sigmoidVjp, tanhVjp } from './elementwise-activation-vjp';
import { floating, unary } from './promote';

// Activations, each with a fused adjoint. Integers are taken as float32.

/** Hyperbolic tangent. Float32: 4 ulp. */
export const tanh = unary('tanh', {
  saveOutputs: [0],
  vjp: ({ g, output }) => [tanhVjp([g, output(0)], undefined)],
});

/** 1 / (1 + e^-x). Float32: 3 ulp; 0 below -88.7. */
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
const eluVjp: OpFunction<{ alpha: number }> = defineOp<{ alpha: number }>('elu_vjp', {
  saveInputs: [0, 1],
  vjp: ({ g, needs, input, params }) => {
    const x = input(1);
    // alpha e^x below 0, where the slope is not constant.
    const second = () => where(gt(x, 0), 0, mul(exp(clamp(x, { max: 0 })), params.alpha));
    return [
      needs(0) ? eluVjp([g, x], params) : null,
      needs(1) ? mul(mul(g, input(0)), second()) : null,
    ];
  },
});
const eluOp = defineOp<{ alpha: number }>('elu', {
  saveInputs: [0],
  vjp: ({ g, input, params }) => [eluVjp([g, input(0)], params)],
});
/** x for x > 0, else alpha (e^x - 1). Float32: 3 ulp. */
export function elu(x: Tensor, options?: EluOptions): Tensor {
  return eluOp([floating('elu', x)], withDefaults('elu', options, { alpha: 1 }));
}

export interface GeluOptions {
  /** 'tanh' for x (1 + tanh(sqrt(2 / pi) (x + 0.044715 x^3))) / 2. Default 'none': by erf. */
  approximate?: 'none' | 'tanh';
}
type GeluParams = Required<GeluOptions>;

/** Second derivative of gelu: density(x) (2 - x^2) of the exact form. */
function geluSecond(x: Tensor, { approximate }: GeluParams): Tensor {
  if (approximate === 'none') {
    const density = mul(exp(mul(square(x), -0.5)), 1 / Math.sqrt(2 * Math.PI));
    return mul(density, sub(2, square(x)));
  }
  // f = x s(u), u = 2 c (x + a x^3): f'' = 2 s' + x s'', primes along x.
  const [c, a] = [2 * Math.sqrt(2 / Math.PI), 0.044715];
  const s = sigmoid(mul(mul(add(mul(square(x), a), 1), x), c));
  const slope = mul(s, sub(1, s));
  const du = mul(add(mul(square(x), 3 * a), 1), c);
  const curvature = add(mul(square(du), sub(1, mul(s, 2))), mul(x, 6 * a * c));
  return mul(slope, add(mul(du, 2), mul(x, curvature)));
}

const geluVjp: OpFunction<GeluParams> = defineOp<GeluParams>('gelu_vjp', {
  saveInputs: [0, 1],
  vjp: ({ g, needs, input, params }) => [
    needs(0) ? geluVjp([g, input(1)], params) : null,
    needs(1) ? mul(mul(g, input(0)), geluSecond(input(1), params)) : null,
  ],
});
const geluOp = defineOp<GeluParams>('gelu', {
  saveInputs: [0],
  vjp: ({ g, input, params }) => [geluVjp([g, input(0)], params)],
});
/**
 * x Phi(x), Phi the normal distribution function. Float32: 5 ulp; the 'tanh' form cancels below 0 (64 ulp at
 * -6), and in float64 the exact one loses as many ulp as x^2.
 */
export function gelu(x: Tensor, options?: GeluOptions): Tensor {
  const params = withDefaults<GeluParams>('gelu', options, { approximate: 'none' });
  return geluOp([floating('gelu', x)], params);
}

const siluVjp: OpFunction = defineOp('silu_vjp', {
  saveInputs: [0, 1],
  vjp: ({ g, needs, input }) => {
    const second = (x: Tensor) => {
      const s = sigmoid(x);
      return mul(mul(s, sub(1, s)), add(mul(x, sub(1, mul(s, 2))), 2));
    };
    return [
      needs(0) ? siluVjp([g, input(1)], undefined) : null,
      needs(1) ? mul(mul(g, input(0)), second(input(1))) : null,
    ];
  },
});
/** x sigmoid(x), also called swish. Float32: 4 ulp; -0 below -88.7. */
export const silu = unary('silu', {
  saveInputs: [0],
  vjp: ({ g, input }) => [siluVjp([g, input(0)], undefined)],
});

export interface SoftplusOptions {
  /** Steepness; > 0. Default 1. */
  beta?: number;
  /** x where beta x is larger. Default 20. */
  threshold?: number;
}
type SoftplusParams = Required<SoftplusOptions>;

const softplusVjp: OpFunction<SoftplusParams> = defineOp<SoftplusParams>('softplus_vjp', {
  saveInputs: [0, 1],
  vjp: ({ g, needs, input, params }) => {
    const { beta, threshold } = params;
    const second = (x: Tensor) => {
      const s = sigmoid(mul(x, beta));
      return where(le(mul(x, beta), threshold), mul(mul(s, sub(1, s)), beta), 0);
    };
    return [
      needs(0) ? softplusVjp([g, input(1)], params) : null,
      needs(1) ? mul(mul(g, input(0)), second(input(1))) : null,
    ];
  },
});
const softplusOp = defineOp<SoftplusParams>('softplus', {
  saveInputs: [0],
  vjp: ({ g, input, params }) => [softplusVjp([g, input(0)], params)],
});
/** log(1 + e^(beta x)) / beta without overflow, and x where beta x > threshold. Float32: 4 ulp. */
export function softplus(x: Tensor, options?: SoftplusOptions): Tensor {
  const params = withDefaults<SoftplusParams>('softplus', options, { beta: 1, threshold: 20 });
  requireArgument(
    Number.isFinite(params.beta) && params.beta > 0,
    'softplus',
    () => `beta must be a finite number > 0, got ${show(params.beta)}`,
  );
  return softplusOp([floating('softplus', x)], params);
}
