// What the scatters of semi-Lagrangian transport owe to fixed point: values that are not finite arrive where the
// CPU has them, sums of very large and very small values keep their relative accuracy, and the same call gives
// the same bits.
import { type DType, type Tensor, advectSemiLagrangian2d, tensor, tidy } from '../../lib';
import { describeOnCuda } from './device';

type Size = readonly [number, number, number, number];

const values = (count: number, of: (i: number) => number) =>
  Float64Array.from({ length: count }, (_, i) => of(i));

/** Mass transport of u by displacements of up to two cells. */
function transported(
  u: Float64Array,
  size: Size,
  dtype: DType,
  device: 'cpu' | 'cuda',
  displaced: (i: number) => number = (i) => 2 * Math.sin(i * 1.3) + 0.01,
): number[] {
  const [n, , h, w] = size;
  const displacement = values(n * 2 * h * w, displaced);
  return tidy(() => {
    const on = (data: Float64Array, shape: readonly number[]): Tensor =>
      tensor(data, { dtype, shape }).to(device);
    const moved = advectSemiLagrangian2d(on(u, size), on(displacement, [n, 2, h, w]), {
      transport: 'mass',
      boundary: 'border',
    });
    return Array.from(moved.dataSync());
  });
}

describeOnCuda('scattering', () => {
  const SIZE: Size = [1, 2, 7, 9];
  const LARGE: Size = [1, 1, 3, 20000]; // more than the shared memory of a block
  const cells = (size: Size) => size.reduce((a, b) => a * b, 1);

  test.each([
    ['float32', SIZE],
    ['float64', SIZE],
    ['float32', LARGE],
    ['float64', LARGE],
  ] as const)('%s %j: values that are not finite arrive where the CPU has them', (dtype, size) => {
    const special: Record<number, number> = { 11: NaN, 40: Infinity, 60: -Infinity, 61: Infinity };
    const u = values(cells(size), (i) => special[i] ?? Math.cos(i));
    const [cpu, cuda] = (['cpu', 'cuda'] as const).map((device) =>
      transported(u, size, dtype, device),
    );
    const kinds = (list: number[]) => list.map((x) => (Number.isFinite(x) ? 0 : x));
    expect(kinds(cuda!)).toEqual(kinds(cpu!));
    expect(kinds(cpu!).filter((x) => x !== 0).length).toBeGreaterThan(4);
  });

  test.each([
    ['float32', 1e-30],
    ['float32', 1e30],
    ['float64', 1e-300],
    ['float64', 1e300],
  ] as const)('%s: values around %p keep their digits', (dtype, size) => {
    const u = values(cells(SIZE), (i) => size * (1 + (i % 5)));
    const [cpu, cuda] = (['cpu', 'cuda'] as const).map((device) =>
      transported(u, SIZE, dtype, device),
    );
    const unit = dtype === 'float32' ? 2 ** -23 : 2 ** -52;
    cuda!.forEach((x, i) =>
      expect(Math.abs(x - cpu![i]!)).toBeLessThanOrEqual(16 * unit * cpu![i]!),
    );
  });

  test('all points of a plane in one cell do not overflow', () => {
    const size: Size = [1, 1, 16, 16];
    const home = (i: number) => (i < 256 ? -(i % 16) : -Math.floor((i - 256) / 16));
    const u = values(256, () => 1.9999999);
    expect(transported(u, size, 'float64', 'cuda', home)[0]).toBeCloseTo(256 * 1.9999999, 10);
    expect(transported(u, size, 'float32', 'cuda', home)[0]).toBe(Math.fround(256 * 1.9999999));
  });

  test('the same bits again', () => {
    const u = values(cells(SIZE), (i) => Math.sin(i * i));
    const first = transported(u, SIZE, 'float32', 'cuda');
    for (let i = 0; i < 3; i++) expect(transported(u, SIZE, 'float32', 'cuda')).toEqual(first);
  });
});
