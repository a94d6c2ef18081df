// Gradients of every differentiable case in float64: along random directions against central differences, to
// second order where it exists; the adjoint identity of linear ops; what is accumulated and what is not computed.
import type { FluxionError } from '../../lib';
import { type Tensor, grad, mul, square, sum, tensor, tidy, vjp } from '../../lib';
import { native } from '../../lib/native';
import { CASES } from '../cases';
import {
  type Case,
  SEED,
  differentiableInputs,
  expectClose,
  inputTensors,
  inputValues,
  randomFloats,
} from '../cases/case';

const EPSILON = 1e-5;
const RELATIVE = 1e-6;

beforeAll(() => native.setCheckedMemory(true));

const dot = (a: ArrayLike<number>, b: ArrayLike<number>) => {
  let total = 0;
  for (let i = 0; i < a.length; i++) total += a[i]! * b[i]!;
  return total;
};
const norm = (a: ArrayLike<number>) => Math.sqrt(dot(a, a));

/** A tensor of random values in [-1, 1) with the shape of another. */
function randomLike(t: Tensor, salt: number): Tensor {
  return tensor(randomFloats(t.size, SEED + salt), { shape: t.shape, dtype: 'float64' });
}

/** Values of a function at shifted inputs, as numbers. */
type Scalar = (inputs: Tensor[]) => number;

/** Derivative of f along the directions, by central differences. */
function differences(c: Case, f: Scalar, at: number[], directions: Float64Array[]): number {
  const shifted = (by: number) =>
    tidy(() =>
      f(
        inputTensors(c, 'float64').map((t, i) => {
          const k = at.indexOf(i);
          if (k < 0) return t;
          const values = inputValues(c)[i]!.data.map((v, j) => v + by * directions[k]![j]!);
          return tensor(values, { shape: t.shape, dtype: 'float64' });
        }),
      ),
    );
  return (shifted(EPSILON) - shifted(-EPSILON)) / (2 * EPSILON);
}

/** Checks gradients against differences of f, whose value they are the gradients of. */
function checkAlong(c: Case, f: Scalar, at: number[], gradients: ArrayLike<number>[]): void {
  const scale = gradients.reduce((s, g) => s + norm(g), 0);
  for (let round = 0; round < 2; round++) {
    const directions = gradients.map((g, k) => randomFloats(g.length, SEED + 100 * round + k));
    const expected = differences(c, f, at, directions);
    const actual = gradients.reduce((s, g, k) => s + dot(g, directions[k]!), 0);
    const error = Math.abs(actual - expected);
    // The rounding of f itself limits what differences can tell.
    const rounding = (1e-14 * Math.abs(tidy(() => f(inputTensors(c, 'float64'))))) / EPSILON;
    if (!(error <= RELATIVE * Math.max(scale, 1e-3) + rounding)) {
      throw new Error(`${c.name}: derivative ${actual}, differences ${expected} (seed ${SEED})`);
    }
  }
}

/** Gradients of <cotangent, run(inputs)> in the inputs at some positions. */
function pulledBack(c: Case, inputs: Tensor[], at: number[], cotangent?: Tensor): Tensor[] {
  const chosen = at.map((i) => inputs[i]!);
  const run = (...tracked: Tensor[]) => {
    const all = [...inputs];
    at.forEach((i, k) => (all[i] = tracked[k]!));
    return c.run(...all);
  };
  const { value, pullback } = vjp(run, ...chosen);
  return pullback(cotangent ?? randomLike(value, 1));
}

const differentiable = CASES.filter((c) => {
  const at = differentiableInputs(c);
  return at.length > 0 && at.some((i) => inputValues(c)[i]!.data.length > 0);
});

describe('against central differences', () => {
  test.each(differentiable)('$name', (c) => {
    tidy(() => {
      const at = differentiableInputs(c);
      const inputs = inputTensors(c, 'float64');
      const cotangent = randomLike(c.run(...inputs), 1);
      const gradients = pulledBack(c, inputs, at, cotangent).map((g) => g.dataSync());
      const weights = cotangent.dataSync();
      checkAlong(c, (shifted) => dot(c.run(...shifted).dataSync(), weights), at, gradients);
    });
  });
});

/** Whether an error says that an op has no second derivative, as fused adjoints may. */
function isOrderError(error: unknown): boolean {
  const { code, message } = error as FluxionError;
  return code === 'FLUXION_NOT_DIFFERENTIABLE' && message.includes('of this order');
}

describe('of the gradient, against central differences', () => {
  const small = differentiable.filter((c) => inputValues(c).every((v) => v.data.length < 200));
  // The square makes the second derivatives of linear functions different from zero.
  const squared = small.map((c) => ({ ...c, run: (...x: Tensor[]) => square(c.run(...x)) }));
  test.each(squared)('$name', (c) => {
    tidy(() => {
      const at = differentiableInputs(c);
      const inputs = inputTensors(c, 'float64');
      const cotangent = randomLike(c.run(...inputs), 1);
      const weights = at.map((i) => randomLike(inputs[i]!, 7 + i));
      // u -> <weights, gradient at u>
      const inner = (all: Tensor[]) => {
        const gradients = pulledBack(c, all, at, cotangent);
        return gradients.map((g, k) => sum(mul(g, weights[k]!))).reduce((a, b) => a.add(b));
      };
      const outer = grad((...tracked: Tensor[]) => {
        const all = [...inputs];
        at.forEach((i, k) => (all[i] = tracked[k]!));
        return inner(all);
      });
      let second: Tensor[];
      try {
        second = outer(...at.map((i) => inputs[i]!));
      } catch (error) {
        if (isOrderError(error)) return;
        throw error;
      }
      checkAlong(
        c,
        (shifted) => inner(shifted).item(),
        at,
        second.map((g) => g.dataSync()),
      );
    });
  });
});

describe('adjoint identity <A u, v> = <u, A^T v>', () => {
  const linear = CASES.flatMap((c) =>
    (c.linearIn ?? [])
      .filter((i) => inputValues(c)[i]!.data.length > 0)
      .map((i) => [c.name, c, i] as const),
  );
  test.each(linear)('%s', (_, c, i) => {
    tidy(() => {
      const inputs = inputTensors(c, 'float64');
      const image = c.run(...inputs);
      const v = randomLike(image, 3);
      const [adjoint] = pulledBack(c, inputs, [i], v);
      const left = dot(image.dataSync(), v.dataSync());
      const u = inputs[i]!.dataSync();
      const right = dot(u, adjoint!.dataSync());
      const scale =
        norm(image.dataSync()) * norm(v.dataSync()) + norm(u) * norm(adjoint!.dataSync());
      expect(Math.abs(left - right)).toBeLessThanOrEqual(1e-12 * Math.max(scale, 1e-3));
    });
  });
});

describe('an input used twice accumulates', () => {
  test.each(differentiable)('$name', (c) => {
    tidy(() => {
      const at = differentiableInputs(c);
      const inputs = inputTensors(c, 'float64');
      const cotangent = randomLike(c.run(...inputs), 1);
      const once = pulledBack(c, inputs, at, cotangent);
      const twice = pulledBack(
        { ...c, run: (...all) => c.run(...all).add(c.run(...all).mul(2)) },
        inputs,
        at,
        cotangent,
      );
      once.forEach((g, k) => {
        const tripled = g.dataSync().map((v) => 3 * v);
        expectClose(twice[k]!.dataSync(), tripled, 1e-12, c.name);
      });
    });
  });
});

describe('cotangents that nobody needs are not computed', () => {
  const several = differentiable.filter((c) => differentiableInputs(c).length > 1);

  /** Outputs that the addon was asked for while fn ran. */
  function outputsOf(fn: () => void): number {
    const spy = jest.spyOn(native, 'run');
    try {
      fn();
      return spy.mock.calls.reduce((n, [, , ...outputs]) => n + outputs.filter(Boolean).length, 0);
    } finally {
      spy.mockRestore();
    }
  }

  test.each(several)('$name', (c) => {
    tidy(() => {
      const at = differentiableInputs(c);
      const inputs = inputTensors(c, 'float64');
      const cotangent = randomLike(c.run(...inputs), 1);
      let all: Tensor[] = [];
      const full = outputsOf(() => (all = pulledBack(c, inputs, at, cotangent)));
      at.forEach((i, k) => {
        let one: Tensor[] = [];
        const cost = outputsOf(() => (one = pulledBack(c, inputs, [i], cotangent)));
        expect(cost).toBeLessThanOrEqual(full);
        expect(one[0]!.dataSync()).toEqual(all[k]!.dataSync());
      });
    });
  });

  test('a product computes one cotangent for one factor', () => {
    tidy(() => {
      const [a, b] = [tensor([1, 2]), tensor([3, 4])];
      const { pullback } = vjp((x: Tensor) => mul(x, b), a);
      const cotangent = tensor([1, 1]);
      expect(outputsOf(() => pullback(cotangent))).toBe(1);
    });
  });
});
