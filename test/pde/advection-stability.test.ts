// Stability tools against their definitions and against what is stable; splittings and their order. In float64.
import {
  type AdvectUpwind2dOptions,
  type StepOperator,
  type Tensor,
  advectUpwind2d,
  cflBound,
  cflNumber,
  implicitDiffusion2d,
  lieSplitting,
  stableTimeStep,
  strangSplitting,
  tensor,
  tidy,
} from '../../lib';
import { randomFloats, sizeOf } from '../cases/case';

const noise = (shape: readonly number[], seed: number): Tensor =>
  tensor(randomFloats(sizeOf(shape), seed), { shape, dtype: 'float64' });

/** Slope of the regression line of log(error) over log(h). */
function order(h: number[], errors: number[]): number {
  const [x, y] = [h.map(Math.log), errors.map(Math.log)];
  const mean = (v: number[]) => v.reduce((a, b) => a + b, 0) / v.length;
  const [mx, my] = [mean(x), mean(y)];
  const covariance = x.reduce((sum, v, i) => sum + (v - mx) * (y[i]! - my), 0);
  return covariance / x.reduce((sum, v) => sum + (v - mx) ** 2, 0);
}

describe('stability tools', () => {
  const v = () => tensor(Float64Array.of(3, -1, 0.5, 2), { shape: [1, 2, 2, 1] });

  test('the CFL number of every form of a velocity', () => {
    tidy(() => {
      // |3| + |0.5| and |-1| + |2| over spacings of 1.
      expect(cflNumber(v(), { dt: 0.5 })).toBeCloseTo(1.75, 14);
      expect(cflNumber(v(), { dt: 0.5, dx: 2, dy: 0.5 })).toBeCloseTo(0.5 * (0.5 + 4), 14);
      expect(cflNumber(tensor([3, -4]), { dt: 1, dx: 2 })).toBe(3.5);
      expect(cflNumber(tensor([[1], [-4]]), { dt: 1 })).toBe(4);
      expect(cflNumber(tensor([[[1, -7, 2]]]), { dt: 2 })).toBe(14);
      expect(v().reshape([1, 1, 2, 2, 1]).cflNumber({ dt: 1 })).toBe(3.5);
      expect(Number.isNaN(cflNumber(tensor([[[1, NaN, 2]]]), { dt: 2 }))).toBe(true);
      expect(cflNumber(tensor([1, 2, 3]), { dt: 1 })).toBe(6);
    });
  });

  test('the conservative form counts what flows out of both faces', () => {
    tidy(() => {
      const a = tensor([[[-2, 4, 6]]]);
      const of = (boundary: 'neumann' | 'periodic') =>
        cflNumber(a, { dt: 1, form: 'conservative', boundary });
      // Faces at 1 and 5: the second cell loses 5 to the right; periodic: also 2 from the last to the first.
      expect(of('neumann')).toBe(5);
      expect(of('periodic')).toBe(5);
      expect(cflNumber(tensor([[[-4, 4]]]), { dt: 1, form: 'conservative' })).toBe(0);
    });
  });

  test('a shape that can be read in two ways asks for dims', () => {
    tidy(() => {
      const both = tensor(
        Float64Array.from({ length: 3 * 2 * 4 }, (_, i) => i),
        {
          shape: [1, 3, 2, 2, 2],
        },
      );
      expect(() => cflNumber(both, { dt: 1 })).toThrow('say dims');
      expect(cflNumber(both, { dt: 1, dims: 2 })).toBe(19 + 23);
      expect(cflNumber(both, { dt: 1, dims: 3 })).toBe(7 + 15 + 23);
    });
  });

  test('bounds and time steps', () => {
    tidy(() => {
      expect(cflBound()).toBe(1);
      expect(cflBound({ order: 2 })).toBeCloseTo(2 / 3, 15);
      expect(cflBound({ order: 2, limiter: 'van-leer' })).toBe(0.5);
      expect(cflBound({ order: 2, limiter: 'none' })).toBe(1);
      expect(stableTimeStep({ velocity: v() })).toBeCloseTo(1 / 3.5, 14);
      expect(stableTimeStep({ velocity: v(), order: 2, limiter: 'superbee' })).toBeCloseTo(
        0.5 / 3.5,
        14,
      );
      expect(stableTimeStep({ diffusivity: 0.5, dx: 0.1 })).toBeCloseTo(0.01 / 2, 14);
      expect(
        stableTimeStep({
          diffusivity: tensor([
            [1, 2],
            [3, 1],
          ]),
          dx: 1,
          dy: 2,
        }),
      ).toBeCloseTo(1 / (2 * 3 + (2 * 2) / 4), 14);
      expect(stableTimeStep({ velocity: v(), diffusivity: 0.25, safety: 0.9 })).toBeCloseTo(
        0.9 / (3.5 + 1),
        14,
      );
      expect(stableTimeStep({ velocity: tensor([0, 0]) })).toBe(Infinity);
    });
  });

  test('explicit diffusion is stable at its time step and not beyond', () => {
    const growth = (dt: number) => {
      let u = [...randomFloats(20, 21)];
      for (let i = 0; i < 200; i++) {
        u = u.map((x, j) => x + 0.3 * dt * (u[(j + 1) % 20]! - 2 * x + u[(j + 19) % 20]!));
      }
      return Math.max(...u.map(Math.abs));
    };
    const dt = stableTimeStep({ diffusivity: 0.3, dims: 1 });
    expect(growth(dt)).toBeLessThan(1.0001);
    expect(growth(1.05 * dt)).toBeGreaterThan(100);
  });

  test('checkStability throws with the numbers, and steps: auto obeys the bound', () => {
    tidy(() => {
      const u = noise([1, 1, 2, 1], 22);
      const options = { dt: 2, dx: 1, checkStability: true } as const;
      const refuse = (more: Partial<AdvectUpwind2dOptions>) => () =>
        advectUpwind2d(u, v(), { ...options, ...more });
      expect(refuse({})).toThrow(
        expect.objectContaining({
          code: 'FLUXION_INVALID_ARGUMENT',
          op: 'advectUpwind2d',
          message:
            'advectUpwind2d: dt / steps must keep the CFL number at or below 1, got 7; ' +
            `stableTimeStep is ${1 / 3.5}, or take 7 steps`,
        }) as Error,
      );
      expect(refuse({ steps: 6 })).toThrow('CFL number');
      expect(refuse({ steps: 7 })).not.toThrow();
      expect(refuse({ steps: 7, order: 2, limiter: 'van-leer' })).toThrow('0.5');
      const auto = advectUpwind2d(u, v(), { dt: 2, steps: 'auto' }).dataSync();
      expect(auto).toEqual(advectUpwind2d(u, v(), { dt: 2, steps: 7 }).dataSync());
      // float32 velocities whose CFL number is 1 up to rounding take one step.
      const near = tensor([0.1, 0.9]);
      const x = tensor([[[[1, 2, 3]]]]);
      expect(advectUpwind2d(x, near, { dt: 1, steps: 'auto' }).dataSync()).toEqual(
        advectUpwind2d(x, near, { dt: 1 }).dataSync(),
      );
      expect(() => advectUpwind2d(x, tensor([NaN, 1]), { dt: 1, steps: 'auto' })).toThrow('finite');
    });
  });
});

describe('splitting', () => {
  const n = 24;
  const field = (value: (x: number, y: number) => number) =>
    Float64Array.from({ length: n * n }, (_, p) =>
      value((2 * Math.PI * (p % n)) / n, (2 * Math.PI * Math.floor(p / n)) / n),
    );
  const dx = 1 / n;
  const u0 = () =>
    tensor(
      field((x, y) => Math.sin(x) + Math.cos(y) * Math.sin(x)),
      { shape: [1, 1, n, n] },
    );
  const v0 = () =>
    tensor(
      [...field((x, y) => 0.5 + 0.4 * Math.sin(x + y)), ...field((x, y) => 0.3 * Math.cos(x - y))],
      { shape: [1, 2, n, n], dtype: 'float64' },
    );

  /** Advection with a field, diffusion, and growth: no two commute. Each is solved as good as exactly. */
  const operators = (v: Tensor, growth: Tensor): StepOperator[] => [
    (u, dt) =>
      advectUpwind2d(u, v, { dt, dx, steps: 16, order: 2, limiter: 'none', boundary: 'periodic' }),
    (u, dt) => {
      for (let i = 0; i < 4; i++)
        u = implicitDiffusion2d(u, 0.01, {
          ...{ dt: dt / 4, dx, scheme: 'crank-nicolson', boundary: 'periodic' },
        });
      return u;
    },
    (u, dt) => u.mul(growth.mul(dt).exp()),
  ];

  test.each([
    ['Lie', lieSplitting, 1],
    ['Strang', strangSplitting, 2],
  ] as const)('%s is of order %#', (_, splitting, expected) => {
    tidy(() => {
      const parts = operators(
        v0(),
        tensor(
          field((x, y) => Math.sin(x) * Math.cos(y) * 4),
          { shape: [1, 1, n, n] },
        ),
      );
      const step = splitting(parts);
      const run = (count: number) => {
        let u = u0();
        for (let i = 0; i < count; i++) u = step(u, 0.4 / count);
        return u.dataSync();
      };
      const counts = [4, 8, 16];
      const exact = ((a, b) => a.map((x, i) => (2 ** expected * x - b[i]!) / (2 ** expected - 1)))(
        Float64Array.from(run(64)),
        Float64Array.from(run(32)),
      );
      const errors = counts.map((count) =>
        Math.sqrt(
          Float64Array.from(run(count)).reduce((sum, x, i) => sum + (x - exact[i]!) ** 2, 0),
        ),
      );
      const p = order(
        counts.map((count) => 1 / count),
        errors,
      );
      expect(Math.abs(p - expected)).toBeLessThan(0.15);
    });
  });

  test('calls the operators in order, with their time steps, and keeps gradients', () => {
    tidy(() => {
      const calls: [string, number][] = [];
      const named =
        (name: string): StepOperator =>
        (u, dt) => {
          calls.push([name, dt]);
          return u.mul(1 + dt);
        };
      const parts = ['a', 'b', 'c'].map(named);
      lieSplitting(parts)(tensor([1]), 1);
      expect(calls.splice(0)).toEqual([
        ['a', 1],
        ['b', 1],
        ['c', 1],
      ]);
      const u = tensor([2], { requiresGrad: true, dtype: 'float64' });
      strangSplitting(parts)(u, 1).backward();
      expect(calls).toEqual([
        ['a', 0.5],
        ['b', 0.5],
        ['c', 1],
        ['b', 0.5],
        ['a', 0.5],
      ]);
      expect(u.grad!.item()).toBeCloseTo(1.5 ** 4 * 2, 12);
      expect(() => lieSplitting([])).toThrow('operators must be a list of functions');
      expect(() => strangSplitting([1 as unknown as StepOperator])).toThrow('strangSplitting');
    });
  });
});

describe('bad input', () => {
  const v = () => tensor([1, 2]);

  test.each([
    () => cflNumber(v(), { dt: 0 }),
    () => cflNumber(v(), { dt: 1, dims: 4 }),
    () => cflNumber(v(), { dt: 1, form: 'flux' as never }),
    () => cflBound({ limiter: 'minmod' }),
    () => cflBound({ order: 0 as never }),
    () => stableTimeStep({}),
    () => stableTimeStep({ diffusivity: -1 }),
    () => stableTimeStep({ velocity: v(), safety: 2 }),
    () => stableTimeStep({ velocity: tensor([Infinity, 1]) }),
  ])('of the stability tools (%#)', (run) => {
    tidy(() => {
      expect(run).toThrow(expect.objectContaining({ code: 'FLUXION_INVALID_ARGUMENT' }) as Error);
    });
  });
});
