import {
  type Tensor,
  add,
  checkpoint,
  cos,
  customGrad,
  dropout,
  exp,
  grad,
  manualSeed,
  mul,
  noGrad,
  sin,
  sum,
  tanh,
  tensor,
  tidy,
  valueAndGrad,
  vjp,
} from '../../lib';
import { native } from '../../lib/native';

const scalar = (value: number) => tensor(value, { dtype: 'float64' });
const vector = (values: number[]) => tensor(values, { dtype: 'float64' });

/** The derivatives of f at x up to an order. */
function derivatives(f: (x: Tensor) => Tensor, x: number, order: number): number[] {
  const values: number[] = [];
  let g = f;
  for (let i = 0; i <= order; i++) {
    values.push(g(scalar(x)).item());
    const before = g;
    g = (t: Tensor) => grad(before)(t)[0]!;
  }
  return values;
}

describe('grad', () => {
  test.each([
    [
      'polynomial',
      (x: Tensor) => x.mul(x).mul(x).sub(x.mul(2)),
      (x: number) => [x ** 3 - 2 * x, 3 * x * x - 2, 6 * x, 6],
    ],
    ['sin', sin, (x: number) => [Math.sin(x), Math.cos(x), -Math.sin(x), -Math.cos(x)]],
    ['exp', exp, (x: number) => [Math.exp(x), Math.exp(x), Math.exp(x), Math.exp(x)]],
    ['power', (x: Tensor) => x.pow(3), (x: number) => [x ** 3, 3 * x * x, 6 * x, 6]],
    [
      'quotient',
      (x: Tensor) => scalar(1).div(x),
      (x: number) => [1 / x, -1 / x ** 2, 2 / x ** 3, -6 / x ** 4],
    ],
    [
      'tanh',
      tanh,
      (x: number) => {
        const t = Math.tanh(x);
        return [t, 1 - t * t, -2 * t * (1 - t * t), -2 * (1 - t * t) * (1 - 3 * t * t)];
      },
    ],
  ])('of %s, nested to third order', (_, f, exact) => {
    derivatives(f, 0.7, 3).forEach((value, i) => expect(value).toBeCloseTo(exact(0.7)[i]!, 10));
  });

  test('of several arguments, others passed through', () => {
    const f = (a: Tensor, factor: number, b: Tensor) => sum(mul(mul(a, b), factor));
    const [da, db] = grad(f)(vector([1, 2]), 3, vector([5, 7]));
    expect([...da!.dataSync()]).toEqual([15, 21]);
    expect([...db!.dataSync()]).toEqual([3, 6]);
  });

  test('does not touch grad and requiresGrad of its arguments', () => {
    const x = vector([1]);
    grad((t: Tensor) => sum(t.mul(t)))(x);
    expect(x.grad).toBeNull();
    expect(x.requiresGrad).toBe(false);
  });

  test('works inside noGrad', () => {
    expect(noGrad(() => grad((t: Tensor) => t.mul(t))(scalar(3)))[0]!.item()).toBe(6);
  });

  test('inside backward: the gradient penalty', () => {
    const w = tensor([2], { dtype: 'float64', requiresGrad: true });
    // d/dx (w x^2) = 2 w x at x = 3; its square 4 w^2 9 has the derivative 72 w.
    const [dx] = grad((x: Tensor) => sum(mul(w, x.mul(x))))(vector([3]));
    sum(dx!.mul(dx!)).backward();
    expect(w.grad!.item()).toBe(144);
  });

  test('mixed second derivatives', () => {
    const f = (x: Tensor, y: Tensor) => mul(mul(x, x), sin(y));
    const [, dxy] = grad((x: Tensor, y: Tensor) => grad(f)(x, y)[0]!)(scalar(2), scalar(0.5));
    expect(dxy!.item()).toBeCloseTo(4 * Math.cos(0.5), 12);
  });
});

test('valueAndGrad gives both', () => {
  const { value, grads } = valueAndGrad((x: Tensor) => sum(exp(x)))(vector([0, 1]));
  expect(value.item()).toBeCloseTo(1 + Math.E, 12);
  expect(grads[0]!.dataSync()[1]).toBeCloseTo(Math.E, 12);
});

describe('vjp', () => {
  test('can pull back several cotangents', () => {
    const { value, pullback } = vjp((x: Tensor) => x.mul(x), vector([1, 2]));
    expect([...value.dataSync()]).toEqual([1, 4]);
    expect([...pullback(vector([1, 0]))[0]!.dataSync()]).toEqual([2, 0]);
    expect([...pullback(vector([0, 1]))[0]!.dataSync()]).toEqual([0, 4]);
  });

  test('outlives the scope that made it', () => {
    const x = tensor([3], { dtype: 'float64', requiresGrad: true });
    const { pullback } = tidy(() => vjp((t: Tensor) => t.mul(t).mul(t), x));
    const [dx] = pullback(vector([1]));
    expect(dx!.item()).toBe(27);
    sum(dx!).backward();
    expect(x.grad!.item()).toBe(18);
  });

  test('is linear in its cotangent, and differentiable in it', () => {
    const { pullback } = vjp((t: Tensor) => t.mul(t), vector([3]));
    // The derivative of the pullback in the cotangent is the forward derivative.
    expect(grad((g: Tensor) => sum(pullback(g)[0]!))(vector([1]))[0]!.item()).toBe(6);
  });

  test('of the identity', () => {
    const { pullback } = vjp((x: Tensor) => x, vector([1, 2]));
    expect([...pullback(vector([3, 4]))[0]!.dataSync()]).toEqual([3, 4]);
  });
});

describe('customGrad', () => {
  const clipped = customGrad(
    (x: Tensor) => x.clone(),
    (g, { inputs }) => [g.mul(inputs[0]!.gt(0).to('float64'))],
  );

  test('uses the rule given', () => {
    const [g] = grad((x: Tensor) => sum(clipped(x)))(vector([-1, 2]));
    expect([...g!.dataSync()]).toEqual([0, 1]);
  });

  test('may be differentiated again when its rule is differentiable', () => {
    const cube = customGrad(
      (x: Tensor) => x.mul(x).mul(x),
      (g, { inputs: [x] }) => [g.mul(x!.mul(x!)).mul(3)],
    );
    expect(derivatives(cube, 2, 3)).toEqual([8, 12, 12, 6]);
  });

  test('may use its output', () => {
    const own = customGrad(exp, (g, { output }) => [g.mul(output)]);
    for (const value of derivatives(own, 0.3, 3)) expect(value).toBeCloseTo(Math.exp(0.3), 12);
  });

  test('may return its input', () => {
    const doubled = customGrad(
      (x: Tensor) => x,
      (g) => [g.mul(2)],
    );
    expect(grad((x: Tensor) => sum(doubled(x)))(vector([1]))[0]!.item()).toBe(2);
  });

  test('with a wrong number of cotangents is an error', () => {
    const wrong = customGrad(
      (x: Tensor) => x.mul(2),
      () => [],
    );
    expect(() => grad((x: Tensor) => sum(wrong(x)))(vector([1]))).toThrow(/1 cotangents/);
  });
});

describe('checkpoint', () => {
  const block = (x: Tensor) => tanh(exp(mul(sin(x), 0.5)));

  test('has the gradients of the function', () => {
    const x = vector([0.1, 0.7, -0.4]);
    const [plain] = grad((t: Tensor) => sum(block(block(t))))(x);
    const [saved] = grad((t: Tensor) => sum(checkpoint(block)(checkpoint(block)(t))))(x);
    expect(saved!.dataSync()).toEqual(plain!.dataSync());
  });

  test('draws the same random numbers again, and leaves the generator where it was', () => {
    const noisy = (x: Tensor) => dropout(mul(x, x), { p: 0.5 });
    const x = tensor(new Float64Array(64).fill(1.5));
    const run = (f: (t: Tensor) => Tensor) => {
      manualSeed(11);
      const { value, grads } = valueAndGrad((t: Tensor) => sum(f(t)))(x);
      return [value.item(), ...grads[0]!.dataSync(), dropout(x).sum().item()];
    };
    expect(run(checkpoint(noisy))).toEqual(run(noisy));
  });

  test('gives gradients to tensors that the function captures', () => {
    const w = tensor([2, 3], { dtype: 'float64', requiresGrad: true });
    const x = vector([1, 2]);
    sum(checkpoint((t: Tensor) => mul(sin(t), w))(x)).backward();
    const values = w.grad!.dataSync();
    [1, 2].forEach((v, i) => expect(values[i]).toBeCloseTo(Math.sin(v), 12));
  });

  test('requires no gradient where the function does not', () => {
    expect(checkpoint(block)(vector([1])).requiresGrad).toBe(false);
  });

  test('of the identity and of an integer result', () => {
    const x = tensor([2], { dtype: 'float64', requiresGrad: true });
    const same = checkpoint((t: Tensor) => t)(x);
    expect(x.isLeaf).toBe(true);
    sum(same.mul(3)).backward();
    expect(x.grad!.item()).toBe(3);
    expect(checkpoint((t: Tensor) => t.gt(0))(x).requiresGrad).toBe(false);
  });

  test('can be differentiated twice', () => {
    const f = (x: Tensor) => x.mul(x).mul(x);
    expect(derivatives(checkpoint(f), 2, 2)).toEqual([8, 12, 12]);
  });

  test('keeps less memory', () => {
    const x = tensor(new Float64Array(10_000).fill(0.3), { requiresGrad: true });
    const kept = (f: (t: Tensor) => Tensor) =>
      tidy(() => {
        const { bytes } = native.memory();
        const y = tidy(() => f(f(x)));
        const recorded = native.memory().bytes - bytes;
        sum(add(y, cos(y))).backward();
        return recorded;
      });
    expect(kept(checkpoint(block))).toBeLessThan(kept(block) / 2);
  });
});
