// Options of elementwise ops that are compositions: factors, bounds that are tensors, approximations.
import { type Tensor, add, clamp, gelu, softplus, sub } from '../../lib';
import { type Case, type Values, at, build } from './case';

const unary = (
  name: string,
  ops: string[],
  run: (x: Tensor) => Tensor,
  f: (x: number) => number,
): Case => ({
  name,
  ops,
  inputs: [{ shape: [3, 17] }],
  run,
  reference: ({ shape, data }) => ({ shape, data: data.map(f) }),
});

const binary = (
  name: string,
  op: string,
  run: (a: Tensor, b: Tensor) => Tensor,
  f: (a: number, b: number) => number,
): Case => ({
  name,
  ops: [op],
  inputs: [{ shape: [2, 1, 15] }, { shape: [3, 1] }],
  run,
  reference: (a, b) => build([2, 3, 15], (i) => f(at(a, i), at(b, i))),
});

const limited = ([x, low, high]: readonly Values[]) =>
  build(x!.shape, (i) => Math.min(Math.max(at(x!, i), low ? at(low, i) : -Infinity), at(high!, i)));

export const ELEMENTWISE_OPTIONS: Case[] = [
  binary(
    'add with alpha',
    'add',
    (a, b) => add(a, b, { alpha: -2.5 }),
    (a, b) => a - 2.5 * b,
  ),
  binary(
    'sub with alpha',
    'sub',
    (a, b) => sub(a, b, { alpha: 3 }),
    (a, b) => a - 3 * b,
  ),
  {
    name: 'clamp between tensors',
    ops: ['where', 'lt', 'gt'],
    inputs: [{ shape: [4, 16] }, { shape: [4, 1], range: [-1, 0] }, { shape: [16], range: [0, 1] }],
    run: (x, min, max) => clamp(x, { min, max }),
    reference: (...inputs) => limited(inputs),
  },
  {
    name: 'clamp between a number and a tensor',
    ops: ['where', 'lt', 'gt'],
    inputs: [{ shape: [4, 15] }, { shape: [15], range: [0, 1] }],
    run: (x, max) => clamp(x, { min: -0.75, max }),
    reference: (x, max) =>
      limited([x, { shape: [15], data: new Float64Array(15).fill(-0.75) }, max]),
  },
  unary(
    'gelu by tanh',
    ['sigmoid', 'mul'],
    (x) => gelu(x, { approximate: 'tanh' }),
    (x) => 0.5 * x * (1 + Math.tanh(Math.sqrt(2 / Math.PI) * (x + 0.044715 * x ** 3))),
  ),
  unary(
    'softplus with beta',
    ['softplus', 'mul'],
    (x) => softplus(x, { beta: 2.5 }),
    (x) => Math.log1p(Math.exp(2.5 * x)) / 2.5,
  ),
  unary(
    'softplus with a threshold',
    ['softplus', 'where'],
    (x) => softplus(x, { beta: 2, threshold: 1 }),
    (x) => (2 * x > 1 ? x : Math.log1p(Math.exp(2 * x)) / 2),
  ),
];
