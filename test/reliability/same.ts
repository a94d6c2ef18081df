// Whether two ways of making one calculation gave the same. Rounding may take them apart by as much as it takes the
// calculation apart from the one whose inputs differ in their last bits: where that is more than the precision of
// the dtype (large terms that cancel, a nearly singular matrix), it is measured, by running the call so.
import { type Outcome, type Values, Violation } from './attempt';
import { type Call, describe } from './recorded-calls';

const PRECISION: Record<string, number> = {
  ...{ float32: 1e-3, complex64: 1e-3, float64: 1e-8, complex128: 1e-8, number: 1e-8 },
  ...{ int32: 0, uint8: 0 },
};

/** Runs with other last bits, and how many times as much as they differ two results may. */
const TRIALS = 8;
const FACTOR = 16;

/** Runs the calculation with inputs that the seed has moved by their last bits. */
export type Perturbed<T> = (seed: number) => T;

/** The perturbed runs, made when they are first asked for. */
function later<T>(perturbed: Perturbed<T>): () => readonly T[] {
  let made: readonly T[] | undefined;
  return () => (made ??= Array.from({ length: TRIALS }, (_, i) => perturbed(i + 1)));
}

/** How far runs take element k from a value. */
function spread(runs: readonly (ArrayLike<number> | undefined)[], k: number, value: number) {
  return runs.reduce((most, run) => Math.max(most, Math.abs((run?.[k] ?? value) - value) || 0), 0);
}

/** Throws unless each value is that of a reference within a tolerance, relative from 1 on. */
export function requireReference(
  actual: ArrayLike<number>,
  expected: ArrayLike<number>,
  tolerance: number,
  perturbed: Perturbed<ArrayLike<number>>,
): void {
  const runs = later(perturbed);
  if (actual.length !== expected.length)
    throw new Violation(`${actual.length} values, expected ${expected.length}`);
  for (let k = 0; k < actual.length; k++) {
    const [a, e] = [actual[k]!, expected[k]!];
    const precise = tolerance * Math.max(1, Math.abs(e));
    if (Object.is(a, e) || a === e || Math.abs(a - e) <= precise) continue;
    const sensitivity = spread(runs(), k, e);
    if (Math.abs(a - e) <= precise + FACTOR * sensitivity) continue;
    throw new Violation(
      `value ${k} is ${a}, expected ${e} within ${tolerance}; it moves by ${sensitivity} with last bits`,
    );
  }
}

function requireSameValues(
  [x, y]: readonly [Values, Values],
  runs: () => readonly (ArrayLike<number> | undefined)[],
  fail: (detail: string) => void,
): void {
  if (String(x.shape) !== String(y.shape) || x.dtype !== y.dtype) fail('shapes or dtypes differ');
  let scale = 1;
  for (let k = 0; k < x.data.length; k++)
    if (Number.isFinite(x.data[k])) scale = Math.max(scale, Math.abs(x.data[k]!));
  for (let k = 0; k < x.data.length; k++) {
    const [p, q] = [x.data[k]!, y.data[k]!];
    if (Object.is(p, q) || p === q) continue;
    const precise = PRECISION[x.dtype]! * scale;
    if (Math.abs(p - q) <= precise) continue;
    const sensitivity = spread(runs(), k, p);
    if (Math.abs(p - q) <= precise + FACTOR * sensitivity) continue;
    fail(`element ${k} is ${p} and ${q}, and moves by ${sensitivity} with last bits`);
  }
}

/** Throws where two outcomes of what should be the same calculation differ. */
export function requireSame(
  [a, b]: readonly [Outcome, Outcome],
  what: string,
  call: Call,
  perturbed: Perturbed<Outcome>,
): void {
  const fail = (detail: string) => {
    throw new Violation(`${what}: ${detail} in ${describe(call)}`);
  };
  if ('code' in a || 'code' in b) {
    const [first, second] = [a, b].map((o) => ('code' in o ? o.code : 'values'));
    if (first !== second) fail(`${first} and ${second}`);
    return;
  }
  if (a.values.length !== b.values.length) fail('another number of results');
  const runs = later(perturbed);
  a.values.forEach((x, i) =>
    requireSameValues(
      [x, b.values[i]!],
      () => runs().map((run) => ('code' in run ? undefined : run.values[i]?.data)),
      (detail) => fail(`result ${i}, ${detail}`),
    ),
  );
}
