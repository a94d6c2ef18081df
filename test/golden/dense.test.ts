// The dense operators against PyTorch's results in float64: values and gradients of every record, as functions and
// as methods; dtype promotion; what PyTorch refuses. Generator, seed and version: scripts/golden/dense.py.
import { type Tensor, add, mul, noGrad, sum, tensor, tidy } from '../../lib';
import {
  type GoldenRecord,
  type Precision,
  cotangentOf,
  inputsOf,
  isMethod,
  labelOf,
  numbersOf,
  publicFunction,
  readGolden,
  run,
} from './golden-file';
import {
  DIFFERENT,
  DIFFERENT_PROMOTION,
  NOT_REFUSED,
  PENDING,
  type Labels,
  isListed,
} from './differences';

const golden = readGolden();
const TOLERANCE = { float64: 1e-10, float32: 1e-5 };

/**
 * Within tolerance of the value or of the largest value beside it (at most 1), whichever is greater; of 1 where it is
 * what larger terms leave; and of the largest value of all where Winograd's algorithm shares sums between pixels.
 */
function expectNear(
  actual: Tensor,
  expected: number[],
  { cancels, op }: GoldenRecord,
  label: string,
): void {
  const values = actual.dataSync();
  expect([label, values.length]).toEqual([label, expected.length]);
  const finite = expected.filter(Number.isFinite).map(Math.abs);
  const largest = finite.reduce((a, b) => Math.max(a, b), 0);
  const scale = cancels ? 1 : op === 'conv2d' ? largest : Math.min(1, largest);
  // Integers and results that PyTorch has in float32 alone are not more exact than that.
  const tolerance = TOLERANCE[actual.dtype === 'float64' ? 'float64' : 'float32'];
  expected.forEach((e, i) => {
    const a = values[i]!;
    if (Object.is(a, e) || a === e) return;
    if (Math.abs(a - e) <= tolerance * Math.max(scale, Math.abs(e))) return;
    throw new Error(`${label}, ${actual.dtype}: value ${i} is ${a}, PyTorch has ${e}`);
  });
}

function expectOutputs(record: GoldenRecord, outputs: readonly Tensor[], precision: Precision) {
  const describe = (shape: readonly number[], dtype: string) => `${dtype} [${shape.join(', ')}]`;
  expect(outputs.map((t) => describe(t.shape, t.dtype))).toEqual(
    record.outputs.map((t) => describe(t.shape, t.dtype === 'float' ? precision : t.dtype)),
  );
  outputs.forEach((output, i) => {
    expectNear(output, numbersOf(record.outputs[i]!.values), record, `output ${i}`);
  });
}

/** Backward from the outputs with the record's cotangents. */
function backward(outputs: readonly Tensor[]): void {
  const reached = outputs.flatMap((t, i): [Tensor, Tensor][] =>
    t.requiresGrad ? [[t, cotangentOf(i, t)]] : [],
  );
  if (reached.length === 1) {
    reached[0]![0].backward(reached[0]![1]);
  } else if (reached.length > 1) {
    reached
      .map(([t, g]) => sum(mul(t, g)))
      .reduce((a, b) => add(a, b))
      .backward();
  }
}

function checkRecord(record: GoldenRecord, precision: Precision): void {
  const inputs = inputsOf(record, precision, true);
  const result = run(record, inputs, 'function');
  expect(Array.isArray(result)).toBe(record.list === true);
  const outputs = Array.isArray(result) ? result : [result];
  expectOutputs(record, outputs, precision);
  backward(outputs);
  inputs.tensors.forEach(([t, { gradient, after }], i) => {
    if (after) expectNear(t, numbersOf(after), record, `input ${i} after the call`);
    if (!gradient) return;
    const zero = () => tensor(new Float64Array(t.size), { shape: [...t.shape], dtype: t.dtype });
    const given = t.grad ?? zero();
    expect([`gradient ${i}`, given.shape, given.dtype]).toEqual([`gradient ${i}`, t.shape, t.dtype]);
    expectNear(given, numbersOf(gradient), record, `gradient in input ${i}`);
  });
  if (!isMethod(record)) return;
  noGrad(() => {
    const again = run(record, inputsOf(record, precision, false), 'method');
    expectOutputs(record, Array.isArray(again) ? again : [again], precision);
  });
}

/** What is pending is skipped; what differs must fail, so that a difference that is gone leaves its list. */
function runnerOf(label: string, different: Labels) {
  if (isListed(label, PENDING)) return test.skip;
  return isListed(label, different) ? test.failing : test;
}

const records = golden.records.map((record): [string, GoldenRecord] => [labelOf(record), record]);
const ops = [...new Set(golden.records.map(({ op }) => op))];

describe.each(ops)('%s', (op) => {
  for (const precision of ['float64', 'float32'] as const) {
    for (const [label, record] of records) {
      if (record.op !== op || !(record.dtypes ?? [precision]).includes(precision)) continue;
      const name = `${label}, ${precision}`;
      runnerOf(name, DIFFERENT)(name, () => {
        tidy(() => checkRecord(record, precision));
      });
    }
  }
});

describe('what PyTorch refuses is refused', () => {
  // var is a reserved word: the function has another name.
  const named = (op: string) => (op === 'var' ? 'variance' : op);

  for (const call of golden.refused) {
    const label = `${labelOf(call)}: ${call.message}`;
    runnerOf(label, NOT_REFUSED)(label, () => {
      publicFunction(call.op);
      const attempt = () =>
        tidy(() => {
          const result = run(call, inputsOf(call, 'float64', false), 'function');
          // What only the data show is raised by the read.
          for (const t of Array.isArray(result) ? result : [result]) t.dataSync();
        });
      expect(attempt).toThrow(
        expect.objectContaining({ name: 'FluxionError', op: named(call.op) }) as Error,
      );
    });
  }
});

describe('the dtype of two', () => {
  const OPERANDS: Record<string, () => Tensor | number> = {
    float32: () => tensor([1.5]),
    float64: () => tensor([1.5], { dtype: 'float64' }),
    int32: () => tensor([2], { dtype: 'int32' }),
    uint8: () => tensor([2], { dtype: 'uint8' }),
    integer: () => 3,
    fraction: () => 1.5,
  };
  const condition = () => tensor([1], { dtype: 'uint8' });

  test.each(golden.promotion)('%s of %s and %s is %s', (op, a, b, dtype) => {
    tidy(() => {
      const [x, y] = [OPERANDS[a]!(), OPERANDS[b]!()];
      const call = () => {
        const args = op === 'where' ? [condition(), x, y] : op === 'cat' ? [[x, y]] : [x, y];
        return (publicFunction(op)(...args) as Tensor).dtype;
      };
      let found: string;
      try {
        found = call();
      } catch {
        found = 'refused';
      }
      const different = DIFFERENT_PROMOTION.find(([pattern]) => pattern.test(`${op} ${a} ${b}`));
      expect(found).toBe(different?.[1] ?? dtype);
    });
  });
});
