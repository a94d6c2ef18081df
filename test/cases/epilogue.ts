import { type Conv2dOptions, conv2d, linear } from '../../lib';
import { type Case, SUMS, at, build, distinct, show } from './case';

type Activation = NonNullable<Conv2dOptions['activation']>;

/** erf to double precision: the Maclaurin series, for the small arguments of these cases. */
function erf(x: number): number {
  let term = x;
  let sum = x;
  for (let n = 1; n < 120; n++) {
    term *= (-x * x) / n;
    sum += term / (2 * n + 1);
  }
  return (2 / Math.sqrt(Math.PI)) * sum;
}

const FUNCTIONS: Record<Activation, (x: number) => number> = {
  none: (x) => x,
  relu: (x) => Math.max(x, 0),
  tanh: Math.tanh,
  sigmoid: (x) => 1 / (1 + Math.exp(-x)),
  silu: (x) => x / (1 + Math.exp(-x)),
  gelu: (x) => (x / 2) * (1 + erf(x / Math.SQRT2)),
};

interface ConvShape {
  x: number[];
  outputs: number;
  kernel: number;
  groups?: number;
}

/** conv2d with padding that keeps the plane, bias, residual and activation; sums stay away from a kink at 0. */
function convCase(
  { x, outputs, kernel, groups = 1 }: ConvShape,
  activation: Activation,
  parts: { bias: boolean; residual: boolean },
): Case {
  const [n, channels, h, w] = x as [number, number, number, number];
  const weight = [outputs, channels / groups, kernel, kernel];
  const pad = (kernel - 1) / 2;
  const small = { range: [-0.2, 0.2] as [number, number] };
  return {
    name: `conv2d ${show(x)} ${show(weight)} ${activation} ${show(parts)}`,
    ops: ['conv2d'],
    inputs: [
      { shape: x, ...small },
      { shape: weight, ...small },
      ...(parts.bias ? [{ shape: [outputs], ...small }] : []),
      ...(parts.residual ? [{ shape: [n, outputs, h, w], ...(activation === 'relu' ? { generate: distinct } : {}) }] : []), // prettier-ignore
    ],
    run: (input, kernelWeight, ...rest) => {
      const bias = parts.bias ? rest[0]! : null;
      const residual = parts.residual ? rest.at(-1)! : null;
      return conv2d(input, kernelWeight, { bias, residual, activation, padding: pad, groups });
    },
    reference: (input, kernelWeight, ...rest) => {
      const bias = parts.bias ? rest[0]! : null;
      const residual = parts.residual ? rest.at(-1)! : null;
      return build([n, outputs, h, w], ([image, o, i, j]) => {
        let sum = (bias ? bias.data[o!]! : 0) + (residual ? at(residual, [image!, o!, i!, j!]) : 0);
        const first = Math.floor((o! * groups) / outputs) * (channels / groups);
        for (let c = 0; c < channels / groups; c++) {
          for (let a = 0; a < kernel; a++) {
            for (let b = 0; b < kernel; b++) {
              const [r, s] = [i! + a - pad, j! + b - pad];
              if (r < 0 || r >= h || s < 0 || s >= w) continue;
              sum += at(input, [image!, first + c, r, s]) * at(kernelWeight, [o!, c, a, b]);
            }
          }
        }
        return FUNCTIONS[activation](sum);
      });
    },
    tolerance: SUMS,
  };
}

/** linear with bias, residual and activation. */
function linearCase(x: number[], outputs: number, activation: Activation): Case {
  const [inputs, shape] = [x.at(-1)!, [...x.slice(0, -1), outputs]];
  const range = [-0.2, 0.2] as [number, number];
  return {
    name: `linear ${show(x)} ${outputs} ${activation} with bias and residual`,
    ops: ['linear'],
    inputs: [
      { shape: x, range },
      { shape: [outputs, inputs], range },
      { shape: [outputs], range },
      { shape, ...(activation === 'relu' ? { generate: distinct } : {}) },
    ],
    run: (input, weight, bias, residual) => linear(input, weight, { bias, residual, activation }),
    reference: (input, weight, bias, residual) =>
      build(shape, (index) => {
        const o = index.at(-1)!;
        let sum = bias.data[o]! + at(residual, index);
        for (let k = 0; k < inputs; k++) sum += at(input, [...index.slice(0, -1), k]) * at(weight, [o, k]); // prettier-ignore
        return FUNCTIONS[activation](sum);
      }),
    tolerance: SUMS,
  };
}

const POINTWISE: ConvShape = { x: [2, 5, 5, 7], outputs: 9, kernel: 1 };
const FULL: ConvShape = { x: [1, 3, 6, 17], outputs: 5, kernel: 3 };
const DEPTHWISE: ConvShape = { x: [1, 3, 5, 7], outputs: 3, kernel: 3, groups: 3 };
const BOTH = { bias: true, residual: true };

export const EPILOGUE: Case[] = [
  ...(['none', 'relu', 'tanh', 'sigmoid', 'silu', 'gelu'] as const).map((a) =>
    convCase(POINTWISE, a, BOTH),
  ),
  convCase(POINTWISE, 'tanh', { bias: true, residual: false }),
  convCase(POINTWISE, 'tanh', { bias: false, residual: true }),
  convCase(FULL, 'relu', BOTH),
  convCase(FULL, 'sigmoid', BOTH),
  convCase(FULL, 'silu', { bias: false, residual: false }),
  convCase(DEPTHWISE, 'relu', BOTH),
  convCase(DEPTHWISE, 'gelu', BOTH),
  linearCase([9, 17], 7, 'relu'),
  linearCase([2, 3, 5], 16, 'tanh'),
  linearCase([1, 31], 9, 'sigmoid'),
  linearCase([15, 4], 1, 'silu'),
  linearCase([3], 2, 'gelu'),
  linearCase([3, 0], 4, 'none'),
];
