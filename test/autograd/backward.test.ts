import type { FluxionError, Tensor } from '../../lib';
import {
  add,
  argmax,
  backward,
  cast,
  exp,
  grad,
  mul,
  noGrad,
  sign,
  sum,
  tensor,
  tidy,
} from '../../lib';
import { native } from '../../lib/native';

const f64 = (values: number[], requiresGrad = true) =>
  tensor(values, { dtype: 'float64', requiresGrad });

function errorOf(fn: () => unknown): FluxionError {
  try {
    fn();
  } catch (error) {
    return error as FluxionError;
  }
  throw new Error('nothing was thrown');
}

describe('backward', () => {
  test('sums into grad over calls', () => {
    const w = f64([1, 2]);
    sum(mul(w, w)).backward();
    expect([...w.grad!.dataSync()]).toEqual([2, 4]);
    sum(mul(w, 3)).backward();
    expect([...w.grad!.dataSync()]).toEqual([5, 7]);
  });

  test('adds the contributions of an input used several times', () => {
    const w = f64([3]);
    w.mul(w).mul(w).add(w).sum().backward();
    expect(w.grad!.item()).toBe(28);
  });

  test('reaches leaves behind branches of different length', () => {
    const [a, b] = [f64([2]), f64([5])];
    const product = a.mul(b);
    product.add(product.mul(a)).backward(f64([1], false));
    expect(a.grad!.item()).toBe(5 + 2 * 2 * 5);
    expect(b.grad!.item()).toBe(2 + 4);
  });

  test('takes a cotangent of the shape and dtype of the result', () => {
    const w = f64([1, 2]);
    backward(w.mul(2), f64([10, 100], false));
    expect([...w.grad!.dataSync()]).toEqual([20, 200]);
    expect(errorOf(() => w.mul(2).backward()).code).toBe('FLUXION_INVALID_ARGUMENT');
    expect(errorOf(() => w.mul(2).backward(f64([1], false))).code).toBe('FLUXION_SHAPE_MISMATCH');
    expect(errorOf(() => w.mul(2).backward(tensor([1, 1]))).code).toBe('FLUXION_DTYPE_MISMATCH');
  });

  test('of a leaf itself is the cotangent', () => {
    const w = f64([4]);
    w.backward();
    expect(w.grad!.item()).toBe(1);
  });

  test('gives no gradient to what does not require one', () => {
    const [w, x] = [f64([2]), f64([3], false)];
    w.mul(x).backward();
    expect(w.grad!.item()).toBe(3);
    expect(x.grad).toBeNull();
  });

  test('goes through casts', () => {
    const w = tensor([1, 2], { requiresGrad: true });
    cast(w, 'float64').mul(2.5).sum().backward();
    expect(w.grad!.dtype).toBe('float32');
    expect([...w.grad!.dataSync()]).toEqual([2.5, 2.5]);
  });

  test('twice needs retainGraph', () => {
    const w = f64([1, 2]);
    const loss = sum(exp(w));
    loss.backward(undefined, { retainGraph: true });
    const first = [...w.grad!.dataSync()];
    loss.backward();
    expect([...w.grad!.dataSync()]).toEqual(first.map((v) => 2 * v));
    const error = errorOf(() => loss.backward());
    expect(error.code).toBe('FLUXION_DISPOSED');
    expect(error.message).toMatch(/retainGraph/);
  });

  test('works on inputs that were disposed of after the forward pass', () => {
    const w = f64([3]);
    const x = f64([2], false);
    const product = w.mul(x);
    x.dispose();
    product.backward();
    expect(w.grad!.item()).toBe(2);
  });

  test('leaves a gradient that a surrounding tidy keeps', () => {
    const w = f64([3]);
    tidy(() => w.mul(w).backward());
    expect(w.grad!.item()).toBe(6);
  });
});

describe('what is not differentiable', () => {
  const messages: [string, () => unknown, RegExp][] = [
    [
      'nothing requires a gradient',
      () => f64([1], false).mul(2).backward(),
      /no tensor with requiresGrad/,
    ],
    [
      'argmax on the way',
      () => cast(argmax(f64([1, 2])), 'float64').backward(),
      /argmax, on the way/,
    ],
    ['an integer result', () => cast(f64([1]), 'int32').backward(), /cast, on the way/],
    ['sign', () => sign(f64([1])).backward(), /sign: its derivative is zero/],
    ['detached', () => f64([1]).detach().backward(), /no tensor with requiresGrad/],
    ['noGrad', () => noGrad(() => f64([1]).mul(2)).backward(), /no tensor with requiresGrad/],
    [
      'an argument that is not used',
      () => grad((a: Tensor, _: Tensor) => a.mul(2))(f64([1]), f64([1])),
      /argument 1/,
    ],
  ];
  test.each(messages)('%s', (_, fn, message) => {
    const error = errorOf(fn);
    expect(error.code).toBe('FLUXION_NOT_DIFFERENTIABLE');
    expect(error.message).toMatch(message);
  });

  test('integers cannot require a gradient', () => {
    expect(errorOf(() => tensor([1], { dtype: 'int32', requiresGrad: true })).code).toBe(
      'FLUXION_DTYPE_MISMATCH',
    );
  });
});

describe('noGrad', () => {
  test('records nothing, inside functions and after awaits', async () => {
    const w = f64([1]);
    expect(noGrad(() => w.mul(2)).requiresGrad).toBe(false);
    const later = await noGrad(async () => {
      await Promise.resolve();
      return w.mul(2);
    });
    expect(later.requiresGrad).toBe(false);
    expect(w.mul(2).requiresGrad).toBe(true);
  });

  test('ends when its function throws', () => {
    const w = f64([1]);
    expect(() =>
      noGrad(() => {
        throw new Error('stop');
      }),
    ).toThrow('stop');
    expect(w.mul(2).requiresGrad).toBe(true);
  });
});

describe('memory', () => {
  test('what was saved is released by backward', () => {
    const w = tensor(new Float64Array(1000).fill(1), { requiresGrad: true });
    tidy(() => {
      const before = native.memory().bytes;
      // The intermediate results are disposed of; the record keeps what the gradient needs.
      const loss = tidy(() => {
        const value = sum(exp(exp(exp(w))));
        return value;
      });
      const recorded = native.memory().bytes;
      expect(recorded - before).toBeGreaterThanOrEqual(3 * 8000);
      loss.backward();
      loss.dispose();
      // The gradient remains.
      expect(native.memory().bytes - before).toBeLessThan(2 * 8000);
    });
  });

  test('a forward pass in tidy without backward leaves nothing', () => {
    const w = tensor(new Float64Array(1000).fill(1), { requiresGrad: true });
    const before = native.memory();
    const value = tidy(() => sum(exp(exp(w))).item());
    expect(value).toBeGreaterThan(0);
    const after = native.memory();
    expect([after.tensors, after.bytes]).toEqual([before.tensors, before.bytes]);
  });

  test('training steps need no more memory than the first', () => {
    const w = tensor(new Float64Array(1000).fill(0.1), { requiresGrad: true });
    const step = () => {
      tidy(() => add(sum(exp(mul(w, w))), sum(w)).backward());
      w.grad!.dispose();
      w.grad = null;
    };
    step();
    const { bytes, tensors } = native.memory();
    for (let i = 0; i < 20; i++) step();
    expect(native.memory()).toMatchObject({ bytes, tensors });
  });

  test('a chain of n operations peaks like its forward pass', () => {
    const w = tensor(new Float64Array(10_000).fill(1e-3), { requiresGrad: true });
    tidy(() => {
      let y: Tensor = w;
      for (let i = 0; i < 20; i++) y = exp(y).mul(0.1);
      const loss = sum(y);
      native.resetPeak();
      const { bytes } = native.memory();
      loss.backward();
      expect(native.memory().peakBytes - bytes).toBeLessThan(6 * 80_000);
    });
  });
});
