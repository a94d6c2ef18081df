// IMEXnet: the published sizes, what the implicit step keeps, its variants, gradients.
import { type Tensor, manualSeed, models, randn, tensor, tidy } from '../../lib';
import { assign } from '../../lib/tensor/assign';
import { directionalError } from './network-gradients';

const float64 = { dtype: 'float64' } as const;
const maxDifference = (a: Tensor, b: Tensor) => a.sub(b).abs().max().item();

beforeEach(() => manualSeed(5));

test('the published network has its published numbers of parameters', () => {
  const sizeOf = (variant: models.IMEXVariant, ending: string) =>
    [...new models.IMEXNet({ variant }).namedParameters()]
      .filter(([name]) => name.endsWith(ending))
      .reduce((sum, [, p]) => sum + p.size, 0);
  expect(sizeOf('implicit', 'kernel')).toBe(2_691_648);
  expect(sizeOf('zero', 'kernel')).toBe(2_691_648);
  expect(sizeOf('implicit', 'stencil')).toBe(12_096);
  expect(sizeOf('zero', 'stencil')).toBe(0);
});

test.each(['implicit', 'laplacian'] as const)('the %s step keeps channel means', (variant) =>
  tidy(() => {
    const make = (kind: models.IMEXVariant) => {
      manualSeed(5);
      return new models.IMEXLayer(3, { variant: kind }).to('float64').eval();
    };
    const x = randn([2, 3, 8, 7], { ...float64, seed: 1 });
    // Without its implicit step the layer is x + z; with it the batch norm follows, here the identity up to eps.
    const mean = (u: Tensor) => u.mean({ dim: [2, 3] });
    const [still, moved] = [make('zero').forward(x), make(variant).forward(x)];
    const scale = 1 / Math.sqrt(1 + 1e-5);
    expect(maxDifference(mean(moved), mean(still).mul(scale))).toBeLessThan(1e-13);
    expect(moved.pow(2).sum().item()).toBeLessThan(still.pow(2).sum().item());
  }),
);

test('one layer sees the whole image, one of the residual network does not', () =>
  tidy(() => {
    const reach = (variant: models.IMEXVariant) => {
      const layer = new models.IMEXLayer(1, { dt: 50, variant }).to('float64').eval();
      const x = randn([1, 1, 17, 17], { ...float64, seed: 1 });
      const bumped = Float64Array.from(x.dataSync());
      bumped[0]! += 1;
      const changed = layer.forward(tensor(bumped, { shape: x.shape }));
      return changed.sub(layer.forward(x)).abs().min().item();
    };
    expect(reach('implicit')).toBeGreaterThan(1e-9);
    expect(reach('zero')).toBe(0);
  }));

test('separate statistics fit when a trained network is evaluated, shared ones do not', () =>
  tidy(() => {
    const error = (norm: 'shared' | 'separate') => {
      manualSeed(5);
      const layer = new models.IMEXLayer(3, { norm, initialStencil: [1, 30] }).to('float64');
      const x = randn([8, 3, 12, 12], { ...float64, seed: 1 });
      let trained = layer.forward(x);
      for (let i = 0; i < 100; i++) trained = layer.forward(x);
      return maxDifference(layer.eval().forward(x), trained);
    };
    expect(error('separate')).toBeLessThan(1e-2);
    expect(error('shared')).toBeGreaterThan(0.3);
  }));

test('stencils start with the factors that are given', () =>
  tidy(() => {
    const stencilOf = (initialStencil: number | [number, number]) => {
      manualSeed(5);
      return new models.IMEXLayer(3, { initialStencil }).stencil!;
    };
    const expected = stencilOf(1).mul(tensor([1, 10, 100], { shape: [3, 1, 1] }));
    expect(maxDifference(stencilOf([1, 100]), expected)).toBeLessThan(1e-5);
  }));

describe('gradients in float64', () => {
  const cases = ['implicit', 'laplacian', 'zero'].flatMap((variant) =>
    ['shared', 'separate'].map((norm) => [variant, norm]),
  ) as [models.IMEXVariant, 'shared' | 'separate'][];
  test.each(cases)('%s, norms %s', (variant, norm) => {
    const blocks = [
      [2, 3],
      [2, 4],
    ] as const;
    const model = new models.IMEXNet({ blocks, classes: 2, variant, norm }).to('float64');
    for (const [name, p] of model.namedParameters()) {
      if (!name.endsWith('stencil')) assign(p, randn(p.shape, { ...float64, seed: p.size }));
    }
    const x = randn([2, 1, 6, 5], { ...float64, seed: 3 });
    expect(directionalError(model, x)).toBeLessThan(1e-6);
  });
});

test.each(['implicit', 'laplacian', 'zero'] as const)('%s in float32 and float64', (variant) =>
  tidy(() => {
    const model = new models.IMEXNet({ blocks: [[3, 4]], variant }).eval();
    const x = randn([2, 1, 6, 5], { seed: 3 });
    const single = model.forward(x);
    expect(single.dtype).toBe('float32');
    expect(single.shape).toEqual([2, 4, 6, 5]);
    const double = model.to('float64').forward(x.to('float64'));
    expect(double.dtype).toBe('float64');
    const scale = double.abs().max().item();
    expect(maxDifference(double, single.to('float64'))).toBeLessThan(1e-5 * scale);
  }),
);

test('refusals', () => {
  const make = (options: object) => () => new models.IMEXNet(options);
  expect(make({ variant: 'explicit' })).toThrow(/variant must be one of implicit, laplacian, zero/);
  expect(make({ dt: 0 })).toThrow(/dt must be/);
  expect(make({ norm: 'none' })).toThrow(/norm must be one of shared, separate/);
  expect(make({ initialStencil: [2, 1] })).toThrow(/initialStencil must be a number > 0/);
  expect(make({ blocks: [[4]] })).toThrow(/blocks must be/);
  expect(make({ channels: 3 })).toThrow(/channels/);
});
