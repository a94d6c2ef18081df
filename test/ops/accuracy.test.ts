// The errors that the elementary functions state, in units of the last place: float64 against a table of
// correctly rounded values (scripts/golden/elementary.py), float32 against it and against float64 over the bit
// patterns of all numbers, on every instruction set; special values; powers.
import { readFileSync } from 'node:fs';
import path from 'node:path';
import {
  type Tensor,
  cast,
  config,
  cos,
  elu,
  erf,
  exp,
  gelu,
  log,
  log1p,
  pow,
  reciprocal,
  rsqrt,
  sigmoid,
  silu,
  sin,
  softplus,
  sqrt,
  tanh,
  tensor,
  tidy,
} from '../../lib';
import { native } from '../../lib/native';

type Float = 'float32' | 'float64';
type Entry = [number, number | 'inf' | '-inf'];
const table = JSON.parse(readFileSync(path.join(__dirname, 'elementary.json'), 'utf8')) as Record<
  string,
  Entry[]
>;

interface Bound {
  name: string;
  run: (x: Tensor) => Tensor;
  /** Largest error in ulp. */
  float32: number;
  float64: number;
  /** Results this small may be wrong altogether. */
  tiny?: number;
  /** Where the sweep of float32 goes. */
  range?: [number, number];
}

const FLOAT32_NORMAL = 2 ** -126;
const BOUNDS: Bound[] = [
  { name: 'exp', run: exp, float32: 2, float64: 1 },
  { name: 'log', run: log, float32: 3, float64: 1 },
  { name: 'log1p', run: log1p, float32: 4, float64: 3 },
  { name: 'sqrt', run: sqrt, float32: 0.5, float64: 0.5 },
  { name: 'rsqrt', run: rsqrt, float32: 1.5, float64: 1.5 },
  { name: 'reciprocal', run: reciprocal, float32: 0.5, float64: 0.5 },
  { name: 'sin', run: sin, float32: 2, float64: 1 },
  { name: 'cos', run: cos, float32: 2, float64: 1 },
  { name: 'tanh', run: tanh, float32: 4, float64: 2 },
  { name: 'erf', run: erf, float32: 3, float64: 1 },
  { name: 'sigmoid', run: sigmoid, float32: 3, float64: 3, tiny: FLOAT32_NORMAL },
  { name: 'silu', run: silu, float32: 4, float64: 3, tiny: 100 * FLOAT32_NORMAL },
  { name: 'softplus', run: (x) => softplus(x), float32: 4, float64: 2 },
  { name: 'elu', run: (x) => elu(x), float32: 3, float64: 1 },
  { name: 'gelu', run: (x) => gelu(x), float32: 5, float64: 160, tiny: 20 * FLOAT32_NORMAL },
  {
    name: 'geluTanh',
    run: (x) => gelu(x, { approximate: 'tanh' }),
    ...{ float32: 64, float64: 64, tiny: 100 * FLOAT32_NORMAL, range: [-6, Infinity] },
  },
];

/** The distance between neighbours at a number. */
function ulp(x: number, dtype: Float): number {
  const [bits, least] = dtype === 'float32' ? [23, -149] : [52, -1074];
  const size = Math.abs(x);
  if (size === 0) return 2 ** least;
  let exponent = Math.floor(Math.log2(size));
  if (2 ** exponent > size) exponent--;
  else if (2 ** (exponent + 1) <= size) exponent++;
  return 2 ** Math.max(exponent - bits, least);
}

/** The largest error in ulp, and where. NaN and infinities must agree. */
function worst(
  x: ArrayLike<number>,
  actual: ArrayLike<number>,
  expected: ArrayLike<number>,
  dtype: Float,
  tiny = 0,
): { error: number; at: number } {
  let found = { error: 0, at: NaN };
  const largest = dtype === 'float32' ? 3.4028234663852886e38 : Number.MAX_VALUE;
  for (let i = 0; i < x.length; i++) {
    const [a, e] = [actual[i]!, expected[i]!];
    if (Object.is(a, e) || a === e) continue;
    if (Math.abs(a) <= tiny && Math.abs(e) <= tiny) continue;
    // Rounding to float32 overflows half a step beyond its largest number; a few ulp more are an ulp error.
    const over = (v: number) =>
      Math.abs(v) > largest * (1 - 2 ** -22) && Math.sign(v) === Math.sign(e);
    if (over(a) && over(e)) continue;
    const error = Math.abs(a - e) / ulp(e, dtype);
    if (!(error <= found.error)) found = { error, at: x[i]! };
    if (Number.isNaN(error)) return found;
  }
  return found;
}

function expectWithin(bound: number, found: { error: number; [what: string]: unknown }): void {
  if (!(found.error <= bound)) throw new Error(`more than ${bound} ulp: ${JSON.stringify(found)}`);
}

/** Every 21,467th float32, of all signs, magnitudes, subnormal numbers, infinities and NaN. */
function sweep([low, high]: [number, number] = [-Infinity, Infinity]): Float32Array {
  const bits = Uint32Array.from({ length: 200_000 }, (_, i) => (i * 21_467) >>> 0);
  return new Float32Array(bits.buffer).filter((x) => Number.isNaN(x) || (x >= low && x <= high));
}

const sets = config().instructionSets;
afterEach(() => native.setInstructionSet(sets.at(-1)!));

describe.each(sets)('%s', (set) => {
  beforeEach(() => native.setInstructionSet(set));

  test.each(BOUNDS)('$name', ({ name, run, float32, float64, tiny = 0, range }) => {
    const x = table[name]!.map(([argument]) => argument);
    const exact = table[name]!.map(([, value]) => (typeof value === 'number' ? value : Infinity));
    tidy(() => {
      const twice = run(tensor(x, { dtype: 'float64' })).dataSync();
      const single = run(tensor(x)).dataSync();
      expectWithin(float64, { name, dtype: 'float64', ...worst(x, twice, exact, 'float64') });
      expectWithin(float32, {
        name,
        dtype: 'float32',
        ...worst(x, single, exact, 'float32', tiny),
      });
      const all = tensor(sweep(range));
      const wide = run(cast(all, 'float64')).dataSync();
      const found = worst(all.dataSync(), run(all).dataSync(), wide, 'float32', tiny);
      expectWithin(float32, { name, sweep: true, ...found });
    });
  });

  test('special values', () => {
    const x = tensor([NaN, Infinity, -Infinity, 0, -0, 1e-45, -1e-45]);
    const of = (run: (t: Tensor) => Tensor) => [...run(x).dataSync()];
    const tiny = Math.fround(1e-45);
    expect(of(exp)).toEqual([NaN, Infinity, 0, 1, 1, 1, 1]);
    expect(of(tanh)).toEqual([NaN, 1, -1, 0, -0, tiny, -tiny]);
    expect(of(erf).slice(0, 5)).toEqual([NaN, 1, -1, 0, -0]);
    expect(of(sigmoid)).toEqual([NaN, 1, 0, 0.5, 0.5, 0.5, 0.5]);
    expect(of(sin)).toEqual([NaN, NaN, NaN, 0, -0, tiny, -tiny]);
    expect(of(sqrt).slice(0, 5)).toEqual([NaN, Infinity, NaN, 0, -0]);
    expect(of(log).slice(0, 5)).toEqual([NaN, Infinity, NaN, -Infinity, -Infinity]);
    expect(of(rsqrt).slice(0, 4)).toEqual([NaN, 0, NaN, Infinity]);
    expect(of(reciprocal).slice(0, 5)).toEqual([NaN, 0, -0, Infinity, -Infinity]);
    expect(of((t) => softplus(t)).slice(0, 3)).toEqual([NaN, Infinity, 0]);
    expect(of((t) => elu(t)).slice(0, 5)).toEqual([NaN, Infinity, -1, 0, -0]);
  });

  const BASES = [0, -0, 1, -1, 2, -2, 0.3, -0.3, 1e-40, -7.5, 1e30, Infinity, -Infinity, NaN];
  const EXPONENTS = [
    ...[0, 1, -1, 2, -2, 3, -3, 0.5, -0.5, 4, 5, 7, -5, 2.5, -1.5, 1 / 3, 100, 101, 16777216, 1e35],
    ...[Infinity, -Infinity, NaN],
  ];

  test.each<Float>(['float32', 'float64'])('pow has the special values of C in %s', (dtype) => {
    const round = dtype === 'float32' ? Math.fround : (v: number) => v;
    for (const exponent of EXPONENTS) {
      const exact = BASES.map((base) => {
        const [a, b] = [round(base), round(exponent)];
        // C has 1 where JavaScript has NaN.
        if (a === 1 || b === 0 || (a === -1 && Math.abs(b) === Infinity)) return 1;
        return round(Math.pow(a, b));
      });
      tidy(() => {
        const bases = tensor(BASES, { dtype });
        const constant = pow(bases, exponent).dataSync();
        const general = pow(
          bases,
          tensor(BASES.map(() => exponent), { dtype }), // prettier-ignore
        ).dataSync();
        for (const actual of [constant, general]) {
          expectWithin(3, { exponent, ...worst(BASES, actual, exact, dtype) });
          actual.forEach(
            (v, i) =>
              v === 0 && expect([exponent, BASES[i], v]).toEqual([exponent, BASES[i], exact[i]]),
          );
        }
      });
    }
  });
});
