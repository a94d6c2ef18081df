// Gradients through complex values. The convention is PyTorch's: the gradient of a real L in z is
// dL/d Re z + i dL/d Im z. Golden values are those of PyTorch 2 in float64.
import {
  type Tensor,
  checkpoint,
  complex,
  customGrad,
  exp,
  grad,
  memory,
  mul,
  tensor,
  tidy,
  valueAndGrad,
  vjp,
  zeros,
} from '../../lib';

const c128 = (...pairs: number[][]) => tensor(pairs, { dtype: 'complex128' });
const z0 = () => c128([1, 2], [-0.5, 0.25], [0.3, -1.2]);
const w0 = () => c128([0.5, -1], [2, 1], [-1.5, 0.75]);

function expectValues(actual: Tensor, expected: readonly number[]): void {
  const data = [...actual.dataSync()];
  expect(data.length).toBe(expected.length);
  data.forEach((v, i) => expect(v).toBeCloseTo(expected[i]!, 12));
}

describe('against PyTorch', () => {
  const cases: [string, (z: Tensor, w: Tensor) => Tensor, number, number[], number[]][] = [
    [
      'Re sum z w',
      (z, w) => z.mul(w).real().sum(),
      1.7,
      [0.5, 1, 2, -1, -1.5, -0.75],
      [1, -2, -0.5, -0.25, 0.3, 1.2],
    ],
    [
      'Im sum z w',
      (z, w) => z.mul(w).imag().sum(),
      2.025,
      [-1, 0.5, 1, 2, 0.75, -1.5],
      [2, 1, 0.25, -0.5, -1.2, 0.3],
    ],
    [
      'sum |z / w|',
      (z, w) => z.div(w).abs().sum(),
      2.987563556583431,
      [0.4, 0.8, -0.4, 0.2, 0.14462030521243735, -0.5784812208497497],
      [-0.8, 1.6, -0.1, -0.05, 0.3933672301778298, -0.196683615088915],
    ],
    [
      'Re sum e^z w',
      (z, w) => exp(z).mul(w).real().sum(),
      3.141309741529854,
      [
        ...[1.9061244801264121, -2.367067719759223, 1.025292094065682],
        ...[-0.8877912635882492, 0.20989316733775973, -2.2540306085772723],
      ],
      [
        ...[-1.1312043837568135, -2.4717266720048188, 0.5876750903439226],
        ...[-0.15005808662216327, 0.48913180637380077, 1.258121169197948],
      ],
    ],
    [
      'sum angle z conj w',
      (z, w) => z.mul(w.conj()).angle().sum(),
      6.708017470098929,
      [-0.4, 0.2, -0.8, -1.6, 0.7843137254901962, 0.1960784313725491],
      [-0.8, -0.4, 0.2, -0.4, 0.2666666666666667, 0.5333333333333333],
    ],
    [
      'sum |z| Re w',
      (z, w) => z.abs().mul(w.real()).sum(),
      0.38067044597184285,
      [
        ...[0.22360679774997896, 0.4472135954999579, -1.7888543819998317],
        ...[0.8944271909999159, -0.36380343755449945, 1.4552137502179978],
      ],
      [2.23606797749979, 0, 0.5590169943749475, 0, 1.236931687685298, 0],
    ],
    [
      'Re i mean (z - w)',
      (z, w) =>
        z
          .sub(w)
          .mean()
          .mul(tensor([0, 1], { dtype: 'complex128' }))
          .real(),
      -0.1,
      [0, -1 / 3, 0, -1 / 3, 0, -1 / 3],
      [0, 1 / 3, 0, 1 / 3, 0, 1 / 3],
    ],
    [
      'Im sum z z w',
      (z, w) => z.mul(z).mul(w).imag().sum(),
      4.755,
      [0, 5, 0, -2.5, 4.05, 0.9],
      [4, -3, -0.25, 0.1875, -0.72, -1.35],
    ],
  ];

  test.each(cases)('%s', (_, f, value, dz, dw) => {
    const result = valueAndGrad(f)(z0(), w0());
    expect(result.value.dtype).toBe('float64');
    expect(result.value.item()).toBeCloseTo(value, 12);
    expect(result.grads.map((g) => g.dtype)).toEqual(['complex128', 'complex128']);
    expectValues(result.grads[0]!, dz);
    expectValues(result.grads[1]!, dw);
  });

  test('a real factor gets the real part', () => {
    const x = tensor([1, 2, 3], { dtype: 'float64' });
    const [dz, dx] = grad((z: Tensor, t: Tensor) => exp(z.mul(t)).imag().sum())(z0(), x);
    expect(dx!.dtype).toBe('float64');
    expectValues(dx!, [0.2093179044911917, -0.007474254000007716, 2.973331146649548]);
    expectValues(dz!, [
      ...[2.4717266720048188, -1.1312043837568135, 0.3527415984500639],
      ...[0.6456891649000661, 3.265273977235712, -6.617009372314943],
    ]);
  });
});

describe('by hand', () => {
  test('|z|^2 has the gradient 2 z', () => {
    const [g] = grad((z: Tensor) => z.mul(z.conj()).real().sum())(z0());
    expectValues(g!, [2, 4, -1, 0.5, 0.6, -2.4]);
  });

  test('gradients at 0 are 0', () => {
    const zero = () => zeros([2], { dtype: 'complex128' });
    expectValues(grad((z: Tensor) => z.abs().sum())(zero())[0]!, [0, 0, 0, 0]);
    expectValues(grad((z: Tensor) => z.angle().sum())(zero())[0]!, [0, 0, 0, 0]);
  });

  test('real tensors through complex values and casts get real gradients', () => {
    const x = tensor([3, -1], { requiresGrad: true });
    // |x + i|^2 = x^2 + 1
    const z = complex(x, 1);
    z.mul(z.conj()).real().sum().backward();
    expect([x.grad!.dtype, ...x.grad!.dataSync()]).toEqual(['float32', 6, -2]);
    // Re (x (2 + 5 i)) = 2 x
    const [g] = grad((t: Tensor) =>
      t
        .to('complex128')
        .mul(c128([2, 5]))
        .real()
        .sum(),
    )(x);
    expect([g!.dtype, ...g!.dataSync()]).toEqual(['float32', 2, 2]);
  });

  test('the vjp of z w is g conj(w)', () => {
    const { value, pullback } = vjp((z: Tensor) => mul(z, c128([2, 5])), c128([1, 1]));
    expect(value.dtype).toBe('complex128');
    expectValues(pullback(c128([1, 1]))[0]!, [7, -3]);
  });
});

describe('the machinery', () => {
  test('leaves with requiresGrad accumulate complex gradients', () => {
    const z = tensor([1, 2], { dtype: 'complex64', requiresGrad: true });
    for (let i = 0; i < 2; i++) z.mul(z.conj()).real().backward();
    expect([z.grad!.dtype, ...z.grad!.dataSync()]).toEqual(['complex64', 4, 8]);
  });

  test('backward starts at a real number, or at a cotangent of the dtype', () => {
    const z = tensor([1, 2], { dtype: 'complex128', requiresGrad: true });
    const dtypeMismatch = expect.objectContaining({ code: 'FLUXION_DTYPE_MISMATCH' }) as Error;
    expect(() => z.mul(2).backward()).toThrow(dtypeMismatch);
    expect(() => grad((t: Tensor) => t.mul(2))(z)).toThrow(dtypeMismatch);
    expect(() => z.mul(2).backward(tensor(1, { dtype: 'float64' }))).toThrow(dtypeMismatch);
    z.mul(tensor([0, 1], { dtype: 'complex128' })).backward(
      tensor([1, 0], { dtype: 'complex128' }),
    );
    expectValues(z.grad!, [0, -1]);
  });

  test('second derivatives: the Hessian of |z|^4 along v', () => {
    // L = |z|^4, dL = 4 |z|^2 z; <dL, v> = 4 |z|^2 Re(conj(v) z)
    const v = c128([0.5, -2]);
    const norm2 = (z: Tensor) => z.mul(z.conj()).real();
    const inner = (z: Tensor) => {
      const [g] = grad((t: Tensor) => norm2(t).mul(norm2(t)).sum())(z);
      return g!.mul(v.conj()).real().sum();
    };
    const [h] = grad(inner)(c128([1, 2]));
    // 8 z Re(conj(v) z) + 4 |z|^2 v with Re(conj(v) z) = -3.5
    expectValues(h!, [8 * -3.5 + 20 * 0.5, 16 * -3.5 - 40]);
  });

  test('checkpoint, customGrad and tidy', () => {
    const block = (z: Tensor) => exp(z).mul(z);
    const loss = (f: (z: Tensor) => Tensor) => (z: Tensor) => f(z).abs().sum();
    const [plain] = grad(loss(block))(z0());
    const [again] = grad(loss(checkpoint(block)))(z0());
    expect(again!.dataSync()).toEqual(plain!.dataSync());
    const own = customGrad(
      (z: Tensor) => z.mul(z),
      (g, { inputs: [z] }) => [g.mul(z!.conj()).mul(2)],
    );
    const [a] = grad((z: Tensor) => own(z).imag().sum())(z0());
    const [b] = grad((z: Tensor) => z.mul(z).imag().sum())(z0());
    expectValues(a!, [...b!.dataSync()]);
    const z = z0();
    const before = memory().tensors;
    tidy(() => grad(loss(block))(z)[0]!.real().sum().item());
    expect(memory().tensors).toBe(before);
  });
});
