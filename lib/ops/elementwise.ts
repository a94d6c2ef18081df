import { requireArgument, show } from '../errors';
import { type DType, isComplex, promote, realOf } from '../tensor/dtype';
import { type Tensor, isTensor } from '../tensor/tensor';
import { noGrad } from '../autograd/tidy';
import { sumTo } from './broadcast';
import {
  type OpFunction,
  type Rule,
  type TensorLike,
  defineOp,
  publicName,
  withDefaults,
} from './define';
import { cast, conjOp, floating, inexact, mulConjOp, promoted, realOp, unary } from './promote';

export { cast };

type Binary = (a: TensorLike, b: TensorLike) => Tensor;

function binary(id: string, rule: Rule<undefined>): Binary {
  const run = defineOp(id, rule);
  const op = publicName(id);
  return (a, b) => run(promoted(op, a, b), undefined);
}

// ---------------------------------------------------------------------------------------------------
// Arithmetic. All broadcast as NumPy and PyTorch do; two dtypes promote to the wider one, real and complex to
// complex. A cotangent g of z w flows back to z as g conj(w): see lib/ops/promote.ts.

export interface AlphaOptions {
  /** Factor of the second operand. Default 1; another one costs a pass over that operand. */
  alpha?: number;
}

type Scaled = (a: TensorLike, b: TensorLike, options?: AlphaOptions) => Tensor;

/** a + alpha b and a - alpha b. */
function scaled(op: string, run: Binary): Scaled {
  return (a, b, options) => {
    if (options === undefined) return run(a, b);
    const { alpha } = withDefaults<Required<AlphaOptions>>(op, options, { alpha: 1 });
    requireArgument(
      typeof alpha === 'number',
      op,
      () => `alpha must be a number, got ${show(alpha)}`,
    );
    if (alpha === 1) return run(a, b);
    return run(a, typeof b === 'number' ? alpha * b : mul(b, alpha));
  };
}

/** a + b, or a + alpha b. Broadcasts. Differentiable in both. Cost: 12 bytes an element in float32. */
export const add: Scaled = scaled(
  'add',
  binary('add', {
    vjp: ({ g, needs, shape }) => [
      needs(0) ? sumTo(g, shape(0)) : null,
      needs(1) ? sumTo(g, shape(1)) : null,
    ],
  }),
);

/** a - b, or a - alpha b. Broadcasts. Differentiable in both. */
export const sub: Scaled = scaled(
  'sub',
  binary('sub', {
    vjp: ({ g, needs, shape }) => [
      needs(0) ? sumTo(g, shape(0)) : null,
      needs(1) ? neg(sumTo(g, shape(1))) : null,
    ],
  }),
);

const mulOp = defineOp('mul', {
  saveInputs: [0, 1],
  vjp: ({ g, needs, shape, operand }) => [
    needs(0) ? sumTo(timesConjugate(g, operand(1)!), shape(0)) : null,
    needs(1) ? sumTo(timesConjugate(g, operand(0)!), shape(1)) : null,
  ],
});

const scaleOp: OpFunction = defineOp('mul', {
  saveInputs: [0, 1],
  vjp: ({ g, needs, shape, input }) => [
    needs(0) ? sumTo(scaleOp([g, input(1)], undefined), shape(0)) : null,
    needs(1) ? sumTo(realOp([mulConjOp([g, input(0)], undefined)], undefined), shape(1)) : null,
  ],
});

const unscaleOp: OpFunction = defineOp('div', {
  saveInputs: [0, 1],
  vjp: ({ g, needs, shape, input }) => {
    const [z, x] = [input(0), input(1)];
    const dz = unscaleOp([g, x], undefined);
    const dx = () =>
      realOp([mulConjOp([neg(dz), unscaleOp([z, x], undefined)], undefined)], undefined);
    return [needs(0) ? sumTo(dz, shape(0)) : null, needs(1) ? sumTo(dx(), shape(1)) : null];
  },
});

/** An op of a complex tensor and a real one, which is brought to its precision but not made complex. */
function withReal(op: OpFunction, z: Tensor, x: Tensor): Tensor {
  const dtype = promote(z.dtype, x.dtype);
  return op([cast(z, dtype), cast(x, realOf(dtype))], undefined);
}

/** a b, element by element. Broadcasts. Differentiable in both. */
export const mul: Binary = (a, b) => {
  if (isTensor(a) && isTensor(b) && a.dtype !== b.dtype) {
    if (isComplex(a.dtype) && !isComplex(b.dtype)) return withReal(scaleOp, a, b);
    if (isComplex(b.dtype) && !isComplex(a.dtype)) return withReal(scaleOp, b, a);
  }
  return mulOp(promoted('mul', a, b), undefined);
};

/** a conj(b), for cotangents: both complex, or both real. */
function timesConjugate(a: Tensor, b: TensorLike): Tensor {
  return isTensor(b) && isComplex(b.dtype) ? mulConjOp([a, b], undefined) : mul(a, b);
}

function conjugate(x: TensorLike): TensorLike {
  return isTensor(x) && isComplex(x.dtype) ? conjOp([x], undefined) : x;
}

const divOp = binary('div', {
  saveInputs: [0, 1],
  vjp: ({ g, needs, shape, operand }) => {
    const a = operand(0)!;
    const b = operand(1)!;
    const da = div(g, conjugate(b));
    return [
      needs(0) ? sumTo(da, shape(0)) : null,
      needs(1) ? sumTo(neg(timesConjugate(da, div(a, b))), shape(1)) : null,
    ];
  },
});

/** a / b. Integers are divided as float32. Broadcasts. Differentiable in both. No rounding modes. */
export const div: Binary = (a, b, ...rest: unknown[]) => {
  if (rest.length > 0) withDefaults<object>('div', rest[0] as object, {});
  if (isTensor(a) && isTensor(b) && isComplex(a.dtype) && !isComplex(b.dtype)) {
    return withReal(unscaleOp, a, b);
  }
  return divOp(isTensor(a) ? inexact('div', a) : a, isTensor(b) ? inexact('div', b) : b);
};

const powOp = binary('pow', {
  saveInputs: [0, 1],
  saveOutputs: [0],
  vjp: ({ g, needs, shape, operand, output }) => {
    const a = operand(0)!;
    const b = operand(1)!;
    return [
      needs(0) ? sumTo(mul(g, powSlope(a as Tensor, b)), shape(0)) : null,
      needs(1) ? sumTo(mul(g, powLog(a, b as Tensor, output(0))), shape(1)) : null,
    ];
  },
});

/** b a^(b - 1), with 0 where b = 0, as PyTorch: at a = 0 too. */
function powSlope(a: Tensor, b: TensorLike): Tensor {
  if (typeof b === 'number')
    return b === 0 ? mul(cast(eq(a, 0), a.dtype), 0) : mul(pow(a, b - 1), b);
  return where(eq(b, 0), 0, mul(pow(a, sub(b, 1)), b));
}

/** a^b log a, with 0 where a = 0 and b >= 0 (the limit from above, as PyTorch). */
function powLog(a: TensorLike, b: Tensor, power: Tensor): Tensor {
  if (typeof a === 'number') return a === 0 ? mul(power, 0) : mul(power, Math.log(a));
  const zero = logicalAnd(eq(a, 0), ge(b, 0));
  return where(zero, 0, mul(power, log(a)));
}

/**
 * a^b. Broadcasts. Differentiable in both; NaN for a negative base with a fractional exponent, 1 for the
 * exponent 0. Float32: 3 ulp.
 */
export const pow: Binary = (a, b) =>
  powOp(isTensor(a) ? floating('pow', a) : a, isTensor(b) ? floating('pow', b) : b);

/** 0 where a < b, 1/2 where equal, else 1: how the cotangent of a maximum is shared, as in PyTorch. */
function winner(a: TensorLike, b: TensorLike, dtype: DType): Tensor {
  const lost = add(cast(lt(a, b), dtype), mul(cast(eq(a, b), dtype), 0.5));
  return sub(1, lost);
}

/** The larger of a and b; NaN where either is. Ties share the gradient equally; both get it where one is NaN. */
export const maximum: Binary = binary('maximum', {
  saveInputs: [0, 1],
  vjp: ({ g, needs, shape, operand }) => {
    const [a, b] = [operand(0)!, operand(1)!];
    return [
      needs(0) ? sumTo(mul(g, winner(a, b, g.dtype)), shape(0)) : null,
      needs(1) ? sumTo(mul(g, winner(b, a, g.dtype)), shape(1)) : null,
    ];
  },
});

/** The smaller of a and b; NaN where either is. Gradients as {@link maximum}. */
export const minimum: Binary = binary('minimum', {
  saveInputs: [0, 1],
  vjp: ({ g, needs, shape, operand }) => {
    const [a, b] = [operand(0)!, operand(1)!];
    return [
      needs(0) ? sumTo(mul(g, winner(b, a, g.dtype)), shape(0)) : null,
      needs(1) ? sumTo(mul(g, winner(a, b, g.dtype)), shape(1)) : null,
    ];
  },
});

// ---------------------------------------------------------------------------------------------------
// Comparisons: uint8, 1 where true. No gradient.

/** a = b, as uint8. Broadcasts. */
export const eq: Binary = binary('eq', {});
/** a != b, as uint8. Broadcasts. */
export const ne: Binary = binary('ne', {});
/** a < b, as uint8. Broadcasts. */
export const lt: Binary = binary('lt', {});
/** a <= b, as uint8. Broadcasts. */
export const le: Binary = binary('le', {});
/** a > b, as uint8. Broadcasts. */
export const gt: Binary = binary('gt', {});
/** a >= b, as uint8. Broadcasts. */
export const ge: Binary = binary('ge', {});

function logicalAnd(a: Tensor, b: Tensor): Tensor {
  return mul(a, b);
}

const whereOp = defineOp('where', {
  saveInputs: [0],
  vjp: ({ g, needs, shape, input }) => [
    null,
    needs(1) ? sumTo(where(input(0), g, 0), shape(1)) : null,
    needs(2) ? sumTo(where(input(0), 0, g), shape(2)) : null,
  ],
});

/** a where the condition (uint8) is not 0, else b. All three broadcast. Differentiable in a and b. */
export function where(condition: Tensor, a: TensorLike, b: TensorLike): Tensor {
  requireArgument(
    isTensor(condition),
    'where',
    () => `condition must be a tensor, got ${show(condition)}`,
  );
  const mask = condition.dtype === 'uint8' ? condition : ne(condition, 0);
  const [x, y] = promoted('where', a, b);
  return whereOp([mask, x, y], undefined);
}

// ---------------------------------------------------------------------------------------------------
// Functions of one variable. Integers are taken as float32. Errors are stated in units of the last place; in
// float64 those of the C library, at most 3 ulp where nothing else is said.

/** -x. */
export const neg: (x: Tensor) => Tensor = (x) => negOp([x], undefined);
const negOp = defineOp('neg', { vjp: ({ g }) => [neg(g)] });

/** |x|, of complex numbers the modulus, a real tensor; the gradient at 0 is 0. */
export const abs: (x: Tensor) => Tensor = (x) =>
  isTensor(x) && isComplex(x.dtype) ? modulusOp([x], undefined) : absOp([x], undefined);
const absOp = defineOp('abs', {
  saveInputs: [0],
  vjp: ({ g, input }) => [
    mul(
      g,
      noGrad(() => sign(input(0))),
    ),
  ],
});
const modulusOp = defineOp('abs', {
  saveInputs: [0],
  saveOutputs: [0],
  vjp: ({ g, input, output }) => {
    const modulus = output(0);
    return [mul(input(0), div(g, where(eq(modulus, 0), 1, modulus)))];
  },
});

/** -1, 0 or 1; NaN stays NaN. Its derivative, zero wherever there is one, is not taken. */
export const sign: (x: Tensor) => Tensor = (x) => signOp([x], undefined);
const signOp = defineOp('sign', {
  reason: 'its derivative is zero wherever it exists; detach() its argument if that is meant',
});

/** e^x, of complex numbers too. Float32: 2 ulp. */
export const exp: (x: Tensor) => Tensor = (x) => expOp([inexact('exp', x)], undefined);
const expOp = defineOp('exp', {
  saveOutputs: [0],
  vjp: ({ g, output }) => [timesConjugate(g, output(0))],
});

/** Natural logarithm; -Infinity at 0, NaN below. Float32: 3 ulp. */
export const log = unary('log', { saveInputs: [0], vjp: ({ g, input }) => [div(g, input(0))] });

/** log(1 + x), accurate for small x too; -Infinity at -1, NaN below. Float32: 4 ulp. */
export const log1p = unary('log1p', {
  saveInputs: [0],
  vjp: ({ g, input }) => [div(g, add(input(0), 1))],
});

/** Square root, correctly rounded; NaN below 0, infinite gradient at 0. */
export const sqrt = unary('sqrt', {
  saveOutputs: [0],
  vjp: ({ g, output }) => [div(g, mul(output(0), 2))],
});

/** 1 / sqrt(x); NaN below 0, infinite at 0. 1.5 ulp. */
export const rsqrt = unary('rsqrt', {
  saveInputs: [0],
  saveOutputs: [0],
  vjp: ({ g, input, output }) => [mul(g, mul(div(output(0), input(0)), -0.5))],
});

/** 1 / x, correctly rounded. */
export const reciprocal = unary('reciprocal', {
  saveOutputs: [0],
  vjp: ({ g, output }) => [neg(mul(g, square(output(0))))],
});

/** The error function 2 / sqrt(pi) times the integral of e^(-t^2) from 0 to x. Float32: 3 ulp. */
export const erf = unary('erf', {
  saveInputs: [0],
  vjp: ({ g, input }) => [mul(g, mul(exp(neg(square(input(0)))), 2 / Math.sqrt(Math.PI)))],
});

/** Sine; x in radians, of any size. Float32: 2 ulp. */
export const sin = unary('sin', {
  saveInputs: [0],
  vjp: ({ g, input }) => [mul(g, cos(input(0)))],
});

/** Cosine; x in radians, of any size. Float32: 2 ulp. */
export const cos = unary('cos', {
  saveInputs: [0],
  vjp: ({ g, input }) => [neg(mul(g, sin(input(0))))],
});

/** x^2. */
export function square(x: Tensor): Tensor {
  return mul(x, x);
}

export interface ClampOptions {
  /** Lower bound; a tensor broadcasts. */
  min?: TensorLike | null;
  /** Upper bound; a tensor broadcasts. */
  max?: TensorLike | null;
}
const clampVjp: OpFunction<{ min: number; max: number }> = defineOp<{ min: number; max: number }>(
  'clamp_vjp',
  {
    saveInputs: [1],
    vjp: ({ g, needs, input, params }) => [needs(0) ? clampVjp([g, input(1)], params) : null, null],
  },
);
const clampOp = defineOp<{ min: number; max: number }>('clamp', {
  saveInputs: [0],
  vjp: ({ g, input, params }) => [clampVjp([g, input(0)], params)],
});
/**
 * Limits x to [min, max]; one of them may be left out, and max wins where min > max. The gradient passes where
 * min <= x <= max. Bounds that are tensors get the gradient where they win, at a pass over memory each.
 */
export function clamp(x: Tensor, options?: ClampOptions): Tensor {
  const { min, max } = withDefaults<Required<ClampOptions>>('clamp', options, {
    min: null,
    max: null,
  });
  requireArgument(min !== null || max !== null, 'clamp', 'min or max must be given');
  if (!isTensor(min) && !isTensor(max))
    return clampOp([x], { min: min ?? -Infinity, max: max ?? Infinity });
  const raised = min === null ? x : where(lt(x, min), min, x);
  return max === null ? raised : where(gt(raised, max), max, raised);
}
