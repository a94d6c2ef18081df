// Complex tensors: how values get in and out, promotion, views, special values, and what is refused.
import * as fluxion from '../../lib';
import {
  type DType,
  type Tensor,
  complex,
  eye,
  full,
  memory,
  tensor,
  tidy,
  zeros,
} from '../../lib';
import { type Handle, runMany } from '../../lib/tensor/handle';
import { native } from '../../lib/native';

const raises = (code: string, op?: string) =>
  expect.objectContaining({ code, ...(op !== undefined && { op }) }) as Error;
const values = (t: Tensor) => [...t.dataSync()];
const c128 = (...pairs: number[][]) => tensor(pairs, { dtype: 'complex128' });

describe('values', () => {
  test('typed arrays are pairs, in the precision of the dtype', async () => {
    const z = tensor(Float32Array.of(1, 2, 3, -4), { dtype: 'complex64' });
    expect([z.dtype, z.shape, z.size, z.ndim]).toEqual(['complex64', [2], 2, 1]);
    expect(z.dataSync()).toEqual(Float32Array.of(1, 2, 3, -4));
    expect(await tensor(Float64Array.of(1, 2), { dtype: 'complex128' }).data()).toEqual(
      Float64Array.of(1, 2),
    );
    expect(values(tensor(Int32Array.of(5, 6), { dtype: 'complex64' }))).toEqual([5, 6]);
    const shaped = tensor(new Float64Array(12), { dtype: 'complex64', shape: [2, 3] });
    expect([shaped.dtype, shaped.shape]).toEqual(['complex64', [2, 3]]);
  });

  test('nested arrays end in pairs, toArray gives them back', async () => {
    const nested = [
      [
        [1, 2],
        [3, 4],
      ],
      [
        [5, 6],
        [7, 8],
      ],
    ];
    const z = tensor(nested, { dtype: 'complex128' });
    expect(z.shape).toEqual([2, 2]);
    expect(await z.toArray()).toEqual(nested);
    expect(await tensor([1, 2], { dtype: 'complex64' }).toArray()).toEqual([1, 2]);
  });

  test('numbers and constants are real', () => {
    expect(values(tensor(3, { dtype: 'complex64' }))).toEqual([3, 0]);
    expect(values(full([2], 1.5, { dtype: 'complex128' }))).toEqual([1.5, 0, 1.5, 0]);
    expect(values(zeros([1], { dtype: 'complex64' }))).toEqual([0, 0]);
    expect(values(eye(2, { dtype: 'complex64' }))).toEqual([1, 0, 0, 0, 0, 0, 1, 0]);
    expect(values(c128([1, 2]).mul(2).add(1))).toEqual([3, 4]);
    expect(values(c128([1, 2]).pad([1, 0], { value: 7 }))).toEqual([7, 0, 1, 2]);
  });

  test('lengths that do not fit are errors', () => {
    const make = (data: Float32Array, shape?: number[]) =>
      tensor(data, { dtype: 'complex64', ...(shape && { shape }) });
    for (const wrong of [
      () => make(new Float32Array(3)),
      () => make(new Float32Array(2), [2]),
      () => make(new Float32Array(8), [2]),
    ]) {
      expect(wrong).toThrow(raises('FLUXION_SHAPE_MISMATCH'));
    }
    expect(() => tensor([1, 2, 3], { dtype: 'complex64' })).toThrow('pairs [re, im]');
    expect(tensor([], { dtype: 'complex64' }).shape).toEqual([0]);
  });

  test('item is for real tensors', () => {
    expect(() => c128([1, 2]).item()).toThrow(raises('FLUXION_DTYPE_MISMATCH', 'item'));
    expect(c128([1, 2]).imag().item()).toBe(2);
  });
});

test.each<[DType, DType, DType]>([
  ['complex64', 'float32', 'complex64'],
  ['complex64', 'float64', 'complex128'],
  ['complex64', 'int32', 'complex64'],
  ['complex64', 'uint8', 'complex64'],
  ['complex64', 'complex128', 'complex128'],
  ['complex128', 'float32', 'complex128'],
  ['complex128', 'int32', 'complex128'],
])('%s with %s gives %s', (a, b, expected) => {
  const [x, y] = [full([2], 6, { dtype: a }), full([2], 3, { dtype: b })];
  const dtypes = [x.add(y), y.sub(x), x.mul(y), y.mul(x), x.div(y), y.div(x), fluxion.cat([x, y])];
  expect(dtypes.map((t) => t.dtype)).toEqual(Array(7).fill(expected));
  expect(values(x.mul(y))).toEqual([18, 0, 18, 0]);
  expect(values(x.div(y))).toEqual([2, 0, 2, 0]);
});

describe('conversion', () => {
  test('from real, between precisions, never to real', () => {
    expect(values(tensor([1, -2]).to('complex128'))).toEqual([1, 0, -2, 0]);
    expect(c128([1, 2]).to('complex64').dtype).toBe('complex64');
    for (const dtype of ['float32', 'float64', 'int32', 'uint8'] as const) {
      expect(() => c128([1, 2]).to(dtype)).toThrow(/real\(\), imag\(\) or abs\(\)/);
    }
  });

  test('parts of real tensors', () => {
    const x = tensor([1, 2]);
    expect([x.real(), x.conj()]).toEqual([x, x]);
    expect(() => x.imag()).toThrow(raises('FLUXION_DTYPE_MISMATCH'));
    expect(complex(tensor([1], { dtype: 'int32' }), 2).dtype).toBe('complex64');
    expect(values(complex(1, tensor([3], { dtype: 'float64' })))).toEqual([1, 3]);
  });
});

describe('views', () => {
  test('real, imag, viewAsReal and viewAsComplex take no memory', () => {
    tidy(() => {
      const z = zeros([16, 32], { dtype: 'complex64' });
      const x = zeros([16, 4, 2]);
      const { bytes } = memory();
      const views = [z.real(), z.imag(), z.viewAsReal(), z.transpose(0, 1).viewAsReal()];
      views.push(x.viewAsComplex(), x.slice(1, 1, 3).viewAsComplex());
      views.push(x.permute([1, 0, 2]).viewAsComplex(), z.transpose(0, 1).imag());
      expect(memory().bytes).toBe(bytes);
      expect(views.map(({ shape }) => shape)).toEqual([
        ...[
          [16, 32],
          [16, 32],
          [16, 32, 2],
          [32, 16, 2],
        ],
        ...[
          [16, 4],
          [16, 2],
          [4, 16],
          [32, 16],
        ],
      ]);
    });
  });

  test('viewAsComplex copies what does not lie in pairs', () => {
    const x = fluxion.arange(12, { dtype: 'float64' });
    const pairs = (t: Tensor) => values(t.viewAsComplex());
    expect(pairs(x.slice(0, 1, 9).reshape([4, 2]))).toEqual([1, 2, 3, 4, 5, 6, 7, 8]);
    expect(pairs(x.reshape([2, 6]).transpose(0, 1))).toEqual([
      0, 6, 1, 7, 2, 8, 3, 9, 4, 10, 5, 11,
    ]);
    expect(pairs(x.reshape([4, 3]).slice(1, 0, 2))).toEqual([0, 1, 3, 4, 6, 7, 9, 10]);
    expect(pairs(x.slice(0, 0, 1).expand([3, 2]))).toEqual([0, 0, 0, 0, 0, 0]);
    expect(() => x.viewAsComplex()).toThrow('last dimension of size 2');
    expect(() => zeros([1, 1, 1, 1, 1, 1, 1, 1], { dtype: 'complex64' }).viewAsReal()).toThrow(
      'at most 7 dimensions',
    );
  });

  test('an empty tensor has parts', () => {
    const z = zeros([0, 3], { dtype: 'complex64' });
    expect([z.real().shape, z.imag().shape, z.viewAsReal().shape]).toEqual([
      [0, 3],
      [0, 3],
      [0, 3, 2],
    ]);
    expect(values(z.sum())).toEqual([0, 0]);
  });
});

describe('special values', () => {
  const INF = Infinity;
  const signs = [-INF, -1e300, -1, -1e-300, -0, 0, 1e-300, 1, 1e300, INF, NaN];
  const grid = signs.flatMap((re) => signs.map((im) => [re, im]));

  test('angle is atan2 everywhere', () => {
    const angles = tensor(grid, { dtype: 'complex128' }).angle().dataSync();
    grid.forEach(([re, im], i) => {
      const expected = Math.atan2(im!, re!);
      const same = Object.is(angles[i], expected) || Math.abs(angles[i]! - expected) < 1e-15;
      expect([re, im, same ? expected : angles[i]]).toEqual([re, im, expected]);
    });
  });

  test('angle of many arguments, in both precisions', () => {
    const n = 4001;
    const pairs = Float64Array.from({ length: 2 * n }, (_, i) => {
      const t = ((i >> 1) / (n - 1) - 0.5) * 2 * Math.PI;
      return Math.fround((i % 2 ? Math.sin(t) : Math.cos(t)) * 3);
    });
    for (const [dtype, tolerance] of [
      ['complex64', 3e-7],
      ['complex128', 5e-16],
    ] as const) {
      const angles = tensor(pairs, { dtype }).angle().dataSync();
      const errors = Array.from(angles, (a, i) =>
        Math.abs(a - Math.atan2(pairs[2 * i + 1]!, pairs[2 * i]!)),
      );
      const worst = Math.max(...errors);
      expect(worst).toBeLessThan(tolerance);
    }
  });

  test('abs neither overflows nor vanishes', () => {
    const modulus = tensor(grid, { dtype: 'complex128' }).abs().dataSync();
    grid.forEach(([re, im], i) => {
      const expected = Math.hypot(re!, im!);
      const same = Object.is(modulus[i], expected) || Math.abs(modulus[i]! / expected - 1) < 1e-15;
      expect([re, im, same ? expected : modulus[i]]).toEqual([re, im, expected]);
    });
    expect(values(tensor([3e30, 4e30], { dtype: 'complex64' }).abs())).toEqual([Math.fround(5e30)]);
  });

  test('quotients of huge and tiny numbers', () => {
    const [huge, tiny] = [c128([1e300, 1e300]), c128([1e-300, -1e-300])];
    for (const one of [huge.div(huge), tiny.div(tiny)]) {
      values(one).forEach((v, i) => expect(v).toBeCloseTo(1 - i, 14));
    }
    expect(values(c128([1, -2]).div(0))).toEqual([INF, -INF]);
    expect(values(c128([1, 2]).div(c128([0, 0], [1, 0])))).toEqual([NaN, NaN, 1, 2]);
    expect(values(c128([1, 2]).div(3))).toEqual([1 / 3, 2 / 3]);
  });

  test('exp of real numbers stays real', () => {
    expect(values(c128([INF, 0], [-INF, 5], [0, 0]).exp())).toEqual([INF, 0, 0, -0, 1, 0]);
    const z = tensor([1, 2e6], { dtype: 'complex64' }).exp();
    const expected = [Math.E * Math.cos(2e6), Math.E * Math.sin(2e6)];
    values(z).forEach((v, i) => expect(v).toBeCloseTo(expected[i]!, 5));
  });
});

describe('what has no complex meaning is refused', () => {
  /** Ops that take complex operands; every other one must refuse them in its infer function. */
  const COMPLEX = [
    ...['add', 'sub', 'mul', 'div', 'neg', 'abs', 'exp', 'where', 'cast', 'sum', 'mean'],
    ...['real', 'imag', 'view_as_real', 'conj', 'mul_conj', 'angle', 'reshape', 'permute'],
    ...['expand', 'slice', 'slice_vjp', 'copy', 'assign', 'cat', 'pad', 'index_select', 'gather'],
    ...['index_select_vjp', 'gather_vjp'],
  ];

  const functions: [string, (z: Tensor) => unknown][] = [
    ...(
      [
        ...['relu', 'tanh', 'sigmoid', 'gelu', 'silu', 'softplus', 'leakyRelu', 'elu', 'sign'],
        ...['log', 'log1p', 'sqrt', 'sin', 'cos', 'max', 'min', 'argmax', 'argmin'],
      ] as const
    ).map((name): [string, (z: Tensor) => unknown] => [name, (z) => z[name]()]),
    ...(['eq', 'ne', 'lt', 'le', 'gt', 'ge', 'maximum', 'minimum', 'pow', 'matmul'] as const).map(
      (name): [string, (z: Tensor) => unknown] => [name, (z) => z[name](z)],
    ),
    ['eq with a number', (z) => z.eq(1)],
    ['clamp', (z) => z.clamp({ min: 0 })],
    ['softmax', (z) => z.softmax(0)],
    ['logSoftmax', (z) => z.logSoftmax(0)],
    ['logsumexp', (z) => z.logsumexp(0)],
    ['mseLoss', (z) => fluxion.mseLoss(z, z)],
    ['layerNorm', (z) => fluxion.layerNorm(z, [2])],
    ['rand', () => fluxion.rand([2], { dtype: 'complex64' })],
    ['randn', () => fluxion.randn([2], { dtype: 'complex128' })],
    ['randint', () => fluxion.randint(0, 5, [2], { dtype: 'complex64' })],
    ['bernoulli', () => fluxion.bernoulli(0.5, [2], { dtype: 'complex64' })],
  ];

  test.each(functions)('%s', (_, call) => {
    const z = full([2, 2], 1, { dtype: 'complex64' });
    expect(() => call(z)).toThrow(raises('FLUXION_DTYPE_MISMATCH'));
  });

  test('no other op of the addon takes complex operands', () => {
    const z = full([2, 2], 1, { dtype: 'complex64' });
    const others = native.ops.filter(
      ({ name, inputs, params }) => !COMPLEX.includes(name) && inputs !== 0 && params === '',
    );
    expect(others.length).toBeGreaterThan(20);
    for (const { name, inputs, outputs } of others) {
      const operands = Array<Handle>(Math.max(inputs, 1)).fill(z.handle);
      const call = () =>
        runMany(
          native.ops.findIndex((op) => op.name === name),
          operands,
          undefined,
          outputs,
          1,
        );
      expect([name, code(call)]).toEqual([name, 'FLUXION_DTYPE_MISMATCH']);
    }
  });

  function code(call: () => unknown): string {
    try {
      call();
    } catch (error) {
      return (error as fluxion.FluxionError).code;
    }
    return 'accepted';
  }
});
