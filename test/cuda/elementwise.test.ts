// Elementwise ops, random tensors and steps over many tensors on a GPU against the CPU: special values bit by bit,
// operands of every layout, sizes around packs, blocks and pieces.
import {
  type DType,
  type Tensor,
  add,
  angle,
  bceWithLogits,
  bernoulli,
  cast,
  clamp,
  complex,
  div,
  elu,
  eq,
  exp,
  ge,
  gt,
  huberLoss,
  le,
  log,
  lt,
  maximum,
  minimum,
  mul,
  ne,
  neg,
  optim,
  permutation,
  pow,
  randint,
  randn,
  relu,
  sign,
  sqrt,
  sub,
  tensor,
  tidy,
  where,
} from '../../lib';
import { describeOnCuda, errorOf } from './device';
import { randomFloats } from '../cases/case';

type Real = 'float32' | 'float64' | 'int32' | 'uint8';
const REALS: readonly Real[] = ['float32', 'float64', 'int32', 'uint8'];

const SPECIAL = {
  float: [NaN, 0, -0, 1, -1, Infinity, -Infinity, 0.5, -2.5, 300.7, 3e9, -3e9, 1e-42, 255.5, 2],
  int32: [0, 1, -1, 7, -7, 2147483647, -2147483648, 255, 256, -255, 3, 100000, 65536, 5, -5],
  uint8: [0, 1, 2, 255, 254, 128, 127, 7, 3, 5, 100, 200, 16, 15, 64],
} as const;

const special = (dtype: Real) => SPECIAL[dtype === 'int32' || dtype === 'uint8' ? dtype : 'float'];

/** Every pair of two lists: [a, a, ...], [b0, b1, ...]. */
function pairs(values: readonly number[]): [number[], number[]] {
  return [values.flatMap((a) => values.map(() => a)), values.flatMap(() => [...values])];
}

const both = (make: (device: string) => Tensor) =>
  tidy(() => (['cpu', 'cuda'] as const).map((device) => Array.from(make(device).dataSync())));

function expectSame(make: (device: string) => Tensor) {
  const [cpu, cuda] = both(make);
  expect(cuda).toEqual(cpu);
}

function expectNear(make: (device: string) => Tensor, tolerance: number) {
  const [cpu, cuda] = both(make);
  expect(cuda!.length).toBe(cpu!.length);
  cpu!.forEach((value, i) => {
    if (Object.is(value, cuda![i]) || value === cuda![i]) return;
    expect(Math.abs(cuda![i]! - value)).toBeLessThanOrEqual(
      tolerance * Math.max(1, Math.abs(value)),
    );
  });
}

const numbers = (shape: readonly number[], device: string, seed = 1, dtype: Real = 'float32') =>
  tensor(
    randomFloats(
      shape.reduce((a, b) => a * b, 1),
      seed,
      -3,
      3,
    ),
    { shape, dtype, device },
  );

describeOnCuda('elementwise on a device', () => {
  test.each(REALS)('%s: special values of two operands', (dtype) => {
    const [a, b] = pairs(special(dtype));
    for (const op of [add, sub, mul, maximum, minimum, eq, ne, lt, le, gt, ge, div]) {
      expectSame((device) => op(tensor(a, { dtype, device }), tensor(b, { dtype, device })));
    }
  });

  test.each(REALS)('%s: special values of one operand', (dtype) => {
    for (const op of [neg, sign, relu, (x: Tensor) => x.abs()]) {
      expectSame((device) => op(tensor(special(dtype), { dtype, device })));
    }
    expectSame((device) => clamp(tensor(special(dtype), { dtype, device }), { min: 1, max: 200 }));
    expectSame((device) => clamp(tensor(special(dtype), { dtype, device }), { min: 9, max: 3 }));
  });

  test.each(['float32', 'float64'] as const)('%s: functions at special values', (dtype) => {
    for (const op of [sqrt, log, exp, (x: Tensor) => elu(x, { alpha: 2 })]) {
      expectNear((device) => op(tensor(SPECIAL.float, { dtype, device })), 1e-6);
    }
    const values = SPECIAL.float.filter((x) => Math.abs(x) < 1e9 || !Number.isFinite(x));
    const [a, b] = pairs(values);
    expectNear((device) => pow(tensor(a, { dtype, device }), tensor(b, { dtype, device })), 1e-6);
    for (const exponent of [0, 0.5, -0.5, 1, 2, 3, -1, -2, 2.5, NaN]) {
      expectNear((device) => pow(tensor(values, { dtype, device }), exponent), 1e-6);
    }
  });

  test('conversions saturate, round towards zero and take NaN for 0', () => {
    for (const from of REALS) {
      for (const to of [...REALS, 'complex64', 'complex128'] as DType[]) {
        expectSame((device) => {
          const y = cast(tensor(special(from), { dtype: from, device }), to);
          return to.startsWith('complex') ? y.real().add(y.imag()) : y;
        });
      }
    }
  });

  test.each([
    [[5, 7, 13], [13]],
    [
      [5, 7, 13],
      [7, 1],
    ],
    [
      [3, 16, 8, 32],
      [16, 1, 1],
    ],
    [
      [1, 4, 1, 12],
      [9, 1, 5, 12],
    ],
    [
      [64, 129],
      [64, 1],
    ],
    [[70, 64], [64]],
    [[4100], [1]],
  ])('broadcasts of %j and %j', (left, right) => {
    expectSame((device) => add(numbers(left, device), numbers(right, device, 2)));
    expectSame((device) => lt(numbers(left, device), numbers(right, device, 2)));
    expectSame((device) =>
      where(
        gt(numbers(left, device), 0),
        numbers(left, device, 2, 'float64'),
        numbers(right, device, 3, 'float64'),
      ),
    );
  });

  test('views: transposed, with steps, off the alignment of packs', () => {
    expectSame((device) =>
      numbers([60, 44], device)
        .permute([1, 0])
        .add(numbers([44, 60], device, 2)),
    );
    expectSame((device) => numbers([8200], device).slice(0, 1, 8192).mul(2));
    expectSame((device) =>
      numbers([8200], device)
        .slice(0, 0, 8200, 3)
        .mul(numbers([1], device, 4)),
    );
    expectSame((device) =>
      numbers([40, 131], device)
        .slice(1, 1, 129)
        .sub(numbers([40, 128], device)),
    );
    expectSame((device) => cast(numbers([6, 50, 20], device).permute([2, 0, 1]), 'uint8'));
    expectSame((device) => numbers([2, 3, 4, 5, 6], device).permute([4, 2, 0, 3, 1]).add(1));
  });

  test.each([0, 1, 3, 4, 5, 1023, 2047, 2048, 2049, 10007])('%i elements', (n) => {
    expectSame((device) => numbers([n], device).mul(numbers([n], device, 2)));
    expectSame((device) => cast(numbers([n], device), 'uint8').add(3));
  });

  test('complex numbers: a divisor of one element, mixed operands, angles with signs of zeros', () => {
    const parts = [0, -0, 1, -1, 3.5, -2, 1e-30, 1e30, Infinity];
    const [re, im] = pairs(parts);
    const z = (device: string) => complex(tensor(re, { device }), tensor(im, { device }));
    expectNear((device) => angle(z(device)), 1e-6);
    expectNear((device) => z(device).abs(), 1e-6);
    const w = (device: string) => complex(numbers([9, 16], device), numbers([9, 16], device, 2));
    const one = (device: string, imaginary: number) =>
      complex(tensor([3], { device }), tensor([imaginary], { device }));
    for (const imaginary of [0, 2]) {
      expectNear((device) => w(device).div(one(device, imaginary)).real(), 1e-6);
    }
    expectNear(
      (device) =>
        w(device)
          .div(numbers([16], device, 3))
          .imag(),
      1e-6,
    );
    expectNear(
      (device) =>
        w(device)
          .mul(numbers([9, 1], device, 3))
          .imag(),
      1e-5,
    );
  });

  test('losses of broadcast operands over several pieces and blocks', () => {
    const shape = [7, 41, 129];
    for (const reduction of ['none', 'mean', 'sum'] as const) {
      const events = (device: string, x: Tensor) =>
        bceWithLogits(x, gt(numbers(shape, device, 2), 0).cast('float32'), {
          reduction,
          weight: numbers([41, 1], device, 3).abs(),
          posWeight: numbers([129], device, 4).abs(),
        });
      const distance = (device: string, x: Tensor) =>
        huberLoss(x, numbers(shape, device, 2), { reduction });
      for (const loss of [events, distance]) {
        expectNear((device) => loss(device, numbers(shape, device)), 1e-5);
        expectNear((device) => {
          const x = numbers(shape, device);
          x.requiresGrad = true;
          loss(device, x).sum().backward();
          return x.grad!;
        }, 1e-6);
      }
    }
  });
});

describeOnCuda('random tensors on a device', () => {
  test.each([0, 1, 2, 3, 5, 64, 1000, 5003])('the permutation of %i is that of the CPU', (n) => {
    expectSame((device) => permutation(n, { seed: 11, device }));
  });

  test('integers, events and normal numbers', () => {
    for (const dtype of REALS) {
      expectSame((device) => randint(3, 200, [1001], { seed: 4, dtype, device }));
      expectSame((device) => bernoulli(0.3, [1001], { seed: 4, dtype, device }));
    }
    expectNear((device) => randn([1001], { seed: 4, device }), 1e-6);
    expectNear((device) => randn([1001], { seed: 4, dtype: 'float64', device }), 1e-13);
  });
});

describeOnCuda('steps over many tensors on a device', () => {
  // Sizes around packs and blocks, and so many that the list of tensors takes several launches.
  const SIZES = [
    1,
    3,
    4095,
    4096,
    4097,
    12293,
    ...Array.from({ length: 700 }, (_, i) => 1 + (i % 7)),
  ];

  function parameters(device: string, dtype: 'float32' | 'float64'): Tensor[] {
    return SIZES.map((n, i) => {
      const p = tensor(randomFloats(n, i), { dtype, device, requiresGrad: true });
      p.grad = tensor(randomFloats(n, 1000 + i), { dtype, device });
      return p;
    });
  }
  const all = (list: readonly (Tensor | undefined)[]) =>
    list.flatMap((t) => Array.from(t!.dataSync()));

  test.each(['float32', 'float64'] as const)('%s: Adam, AdamW and SGD', (dtype) => {
    const steps = {
      adam: (p: Tensor[]) => new optim.Adam(p, { learningRate: 0.1, weightDecay: 0.05 }),
      amsgrad: (p: Tensor[]) => new optim.Adam(p, { learningRate: 0.1, amsgrad: true }),
      adamW: (p: Tensor[]) => new optim.AdamW(p, { learningRate: 0.1, maximize: true }),
      sgd: (p: Tensor[]) => new optim.SGD(p, { learningRate: 0.1, weightDecay: 0.1 }),
      momentum: (p: Tensor[]) =>
        new optim.SGD(p, { learningRate: 0.1, momentum: 0.9, nesterov: true }),
    };
    for (const [name, make] of Object.entries(steps)) {
      const [cpu, cuda] = (['cpu', 'cuda'] as const).map((device) => {
        const p = parameters(device, dtype);
        const optimizer = make(p);
        for (let i = 0; i < 3; i++) optimizer.step();
        return all(p);
      });
      const error = cpu!.reduce((e, v, i) => Math.max(e, Math.abs(v - cuda![i]!)), 0);
      expect([name, error <= (dtype === 'float32' ? 2e-6 : 1e-13)]).toEqual([name, true]);
    }
  });

  test.each([1, 2, 3, Infinity])('clipGradNorm with the norm of order %d', (normType) => {
    for (const maxNorm of [0.5, 1e9]) {
      const [cpu, cuda] = (['cpu', 'cuda'] as const).map((device) => {
        const p = [...parameters(device, 'float32'), ...parameters(device, 'float64').slice(0, 9)];
        const norm = optim.clipGradNorm(p, maxNorm, { normType });
        return [norm.item(), ...all(p.map((t) => t.grad!))];
      });
      cpu!.forEach((v, i) => {
        if (!(Math.abs(v - cuda![i]!) <= 1e-6 * Math.max(1, Math.abs(v)))) {
          throw new Error(`value ${i} is ${cuda![i]}, expected ${v}`);
        }
      });
    }
  });

  test('a norm that is not finite is an error where that is asked for, and the gradients stay', () => {
    for (const [value, text] of [
      [NaN, 'nan'],
      [Infinity, 'inf'],
    ] as const) {
      const p = tensor([1, 2, 3], { device: 'cuda', requiresGrad: true });
      p.grad = tensor([1, value, 5], { device: 'cuda' });
      const norm = optim.clipGradNorm(p, 1, { errorIfNonfinite: true });
      const error = errorOf(() => norm.item());
      expect(error.code).toBe('FLUXION_INVALID_ARGUMENT');
      expect(error.message).toContain(`finite norm, got ${text}`);
      expect(Array.from(p.grad.dataSync())).toEqual([1, value, 5]);
    }
  });
});
