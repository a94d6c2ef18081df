// Pieces of the references of complex cases: complex numbers as pairs in the last dimension.
import type { Input, Values } from './case';
import { at, build } from './case';

export type Pair = readonly [number, number];
export type Shape = readonly number[];

export const plus = ([a, b]: Pair, [c, d]: Pair): Pair => [a + c, b + d];
export const minus = ([a, b]: Pair, [c, d]: Pair): Pair => [a - c, b - d];
export const times = ([a, b]: Pair, [c, d]: Pair): Pair => [a * c - b * d, a * d + b * c];
export const over = ([a, b]: Pair, [c, d]: Pair): Pair => {
  const n = c * c + d * d;
  return [(a * c + b * d) / n, (b * c - a * d) / n];
};

export const numbers = (shape: Shape): Input => ({ shape: [...shape, 2] });
/** Numbers whose parts stay away from 0, and so they themselves. */
export const nonzero = (shape: Shape): Input => ({ shape: [...shape, 2], range: [0.5, 2] });

/** The complex number at an index of a tensor of pairs, which may broadcast. */
export function pairAt(z: Values, index: Shape): Pair {
  return [at(z, [...index, 0]), at(z, [...index, 1])];
}

export function buildPairs(shape: Shape, value: (index: Shape) => Pair): Values {
  return build([...shape, 2], (index) => value(index.slice(0, -1))[index.at(-1)!]!);
}
