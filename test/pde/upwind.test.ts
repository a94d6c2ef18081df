// Numerical properties of upwind advection: exactness, conservation, total variation, maximum principle, order
// of convergence, the adjoint. In float64.
import {
  type AdvectUpwind1dOptions,
  type AdvectionLimiter,
  type Tensor,
  advectUpwind1d,
  advectUpwind2d,
  advectUpwind3d,
  cat,
  cflBound,
  stableTimeStep,
  tensor,
  tidy,
  vjp,
} from '../../lib';
import { randomFloats, sizeOf } from '../cases/case';

const BOUNDARIES = ['neumann', 'dirichlet', 'periodic'] as const;
const FORMS = ['advective', 'conservative'] as const;
const LIMITED = ['minmod', 'van-leer', 'superbee'] as const;

const noise = (shape: readonly number[], seed: number, low = -1, high = 1): Tensor =>
  tensor(randomFloats(sizeOf(shape), seed, low, high), { shape, dtype: 'float64' });

const dot = (a: ArrayLike<number>, b: ArrayLike<number>) =>
  Array.from(a).reduce((sum, x, i) => sum + x * b[i]!, 0);

/** Slope of the regression line of log(error) over log(h). */
function order(h: number[], errors: number[]): number {
  const [x, y] = [h.map(Math.log), errors.map(Math.log)];
  const mean = (v: number[]) => v.reduce((a, b) => a + b, 0) / v.length;
  const [mx, my] = [mean(x), mean(y)];
  const covariance = x.reduce((sum, v, i) => sum + (v - mx) * (y[i]! - my), 0);
  return covariance / x.reduce((sum, v) => sum + (v - mx) ** 2, 0);
}

const variation = (u: ArrayLike<number>, boundary: 'neumann' | 'periodic') => {
  let total = boundary === 'periodic' ? Math.abs(u[0]! - u[u.length - 1]!) : 0;
  for (let i = 1; i < u.length; i++) total += Math.abs(u[i]! - u[i - 1]!);
  return total;
};

describe('first order', () => {
  test.each([1, -1])('at CFL number %i shifts by one cell exactly', (direction) => {
    tidy(() => {
      const u = noise([1, 2, 37], 1);
      const v = tensor([direction * 3], { dtype: 'float64' });
      const options = { dt: 0.5 / 3, dx: 0.5, boundary: 'periodic' } as const;
      const shifted = u.roll([direction], { dims: [2] }).dataSync();
      expect(advectUpwind1d(u, v, options).dataSync()).toEqual(shifted);
      const far = { ...options, dt: (5 * 0.5) / 3, steps: 5 };
      const expected = u.roll([5 * direction], { dims: [2] }).dataSync();
      const most = Float64Array.from(advectUpwind1d(u, v, far).dataSync()).reduce(
        (m, x, i) => Math.max(m, Math.abs(x - expected[i]!)),
        0,
      );
      expect(most).toBeLessThan(1e-14);
    });
  });

  test.each(BOUNDARIES)('obeys the maximum principle up to its bound, %s', (boundary) => {
    tidy(() => {
      const u = noise([2, 3, 19, 23], 2);
      const v = noise([2, 2, 19, 23], 3);
      const dt = stableTimeStep({ velocity: v, dx: 0.7, dy: 1.3 });
      const w = advectUpwind2d(u, v, { dt, dx: 0.7, dy: 1.3, boundary }).dataSync();
      const given = [...u.dataSync(), ...(boundary === 'dirichlet' ? [0] : [])];
      expect(Math.max(...w)).toBeLessThanOrEqual(Math.max(...given) + 1e-14);
      expect(Math.min(...w)).toBeGreaterThanOrEqual(Math.min(...given) - 1e-14);
    });
  });

  test('conservative: keeps the sign up to its bound', () => {
    tidy(() => {
      const u = noise([2, 3, 19, 23], 4, 0, 1);
      const v = noise([2, 2, 19, 23], 5);
      for (const boundary of BOUNDARIES) {
        const options = { boundary, form: 'conservative' } as const;
        const dt = stableTimeStep({ velocity: v, ...options });
        const w = advectUpwind2d(u, v, { dt, ...options }).dataSync();
        expect(Math.min(...w)).toBeGreaterThanOrEqual(-1e-14);
      }
    });
  });
});

describe('conservative form', () => {
  test.each(BOUNDARIES)('keeps the sum of every plane, %s', (boundary) => {
    tidy(() => {
      for (const limiter of [undefined, 'none', ...LIMITED] as const) {
        const choice = limiter ? { order: 2 as const, limiter } : {};
        const options = { dt: 0.4, steps: 3, boundary, form: 'conservative', ...choice } as const;
        const runs: [Tensor, Tensor][] = [
          [
            noise([2, 2, 31], 6),
            advectUpwind1d(noise([2, 2, 31], 6), noise([2, 1, 31], 7), options),
          ],
          [
            noise([2, 3, 9, 17], 6),
            advectUpwind2d(noise([2, 3, 9, 17], 6), noise([2, 3, 2, 9, 17], 7), options),
          ],
          [
            noise([1, 2, 4, 5, 6], 6),
            advectUpwind3d(noise([1, 2, 4, 5, 6], 6), noise([1, 3, 4, 5, 6], 7), options),
          ],
        ];
        for (const [before, after] of runs) {
          const dims = [2, 3, 4].slice(0, before.ndim - 2);
          const [a, b] = [before.sum({ dim: dims }), after.sum({ dim: dims })];
          const change = a.sub(b).abs().max().item();
          expect(change).toBeLessThan(1e-14 * before.size);
        }
      }
    });
  });
});

describe('second order', () => {
  test.each(LIMITED)('%s: total variation does not grow in one dimension', (limiter) => {
    tidy(() => {
      const steps = 40;
      const bound = cflBound({ order: 2, limiter });
      for (const [seed, velocity] of [
        [8, 1],
        [9, -1],
      ] as const) {
        let u = noise([1, 1, 64], seed);
        // A block and a peak among the noise.
        u = u.mul(
          tensor(
            Array.from({ length: 64 }, (_, i) => (i > 20 && i < 30 ? 3 : 1)),
            { dtype: 'float64' },
          ),
        );
        let before = variation(u.dataSync(), 'periodic');
        for (let i = 0; i < steps; i++) {
          u = advectUpwind1d(u, tensor([velocity], { dtype: 'float64' }), {
            dt: bound,
            order: 2,
            limiter,
            boundary: 'periodic',
          });
          const now = variation(u.dataSync(), 'periodic');
          expect(now).toBeLessThanOrEqual(before * (1 + 1e-14));
          before = now;
        }
      }
    });
  });

  test('total variation does not grow in any flow within half of the bound', () => {
    tidy(() => {
      for (const limiter of [undefined, ...LIMITED]) {
        const choice = limiter ? { order: 2 as const, limiter } : {};
        const v = noise([1, 1, 64], 30);
        const dt = stableTimeStep({ velocity: v, safety: 0.5, ...choice });
        for (const boundary of ['neumann', 'periodic'] as const) {
          let u = noise([1, 1, 64], 31);
          for (let i = 0; i < 20; i++) {
            const next = advectUpwind1d(u, v, { dt, boundary, ...choice });
            const [before, after] = [u, next].map((t) => variation(t.dataSync(), boundary));
            expect(after).toBeLessThanOrEqual(before! * (1 + 1e-14));
            u = next;
          }
        }
      }
    });
  });

  test.each(LIMITED)('%s: no new extrema in two dimensions within the bound', (limiter) => {
    tidy(() => {
      const u = noise([1, 2, 24, 31], 10);
      const v = noise([1, 2, 24, 31], 11);
      const dt = stableTimeStep({ velocity: v, order: 2, limiter });
      const w = advectUpwind2d(u, v, { dt, order: 2, limiter }).dataSync();
      expect(Math.max(...w)).toBeLessThanOrEqual(Math.max(...u.dataSync()) + 1e-14);
      expect(Math.min(...w)).toBeGreaterThanOrEqual(Math.min(...u.dataSync()) - 1e-14);
    });
  });

  test('without a limiter is stable in the 2-norm at CFL number 1', () => {
    tidy(() => {
      let u = noise([1, 1, 50], 12);
      const norm = (t: Tensor) => Math.sqrt(dot(t.dataSync(), t.dataSync()));
      const before = norm(u);
      const v = tensor([1], { dtype: 'float64' });
      const options = { dt: 1, order: 2, limiter: 'none', boundary: 'periodic' } as const;
      for (let i = 0; i < 50; i++) u = advectUpwind1d(u, v, options);
      expect(norm(u)).toBeLessThanOrEqual(before * (1 + 1e-12));
    });
  });
});

/** L1 error of one revolution of a smooth wave on n cells. */
function waveError(n: number, options: Partial<AdvectUpwind1dOptions>): number {
  return tidy(() => {
    const wave = Float64Array.from({ length: n }, (_, i) =>
      Math.exp(Math.sin((2 * Math.PI * i) / n)),
    );
    const u = tensor(wave, { shape: [1, 1, n], dtype: 'float64' });
    const w = advectUpwind1d(u, tensor([1], { dtype: 'float64' }), {
      dt: 1,
      dx: 1 / n,
      steps: Math.round(2.5 * n),
      boundary: 'periodic',
      ...options,
    }).dataSync();
    return wave.reduce((sum, x, i) => sum + Math.abs(x - w[i]!) / n, 0);
  });
}

describe('order of convergence on a smooth wave', () => {
  const sizes = [32, 64, 128, 256];
  const measured = (options: Partial<AdvectUpwind1dOptions>) =>
    order(
      sizes.map((n) => 1 / n),
      sizes.map((n) => waveError(n, options)),
    );

  test('1 for first order', () => {
    expect(measured({})).toBeGreaterThan(0.85);
    expect(measured({ form: 'conservative' })).toBeLessThan(1.15);
  });

  // At extrema limiters fall back to first order, which costs a part of an order of the L1 error.
  test.each([
    ['none', 1.95, 2.1],
    ['van-leer', 1.8, 2.5],
    ['superbee', 1.5, 2.5],
    ['minmod', 1.5, 2.2],
  ] as [AdvectionLimiter, number, number][])('%s: 2', (limiter, least, most) => {
    for (const form of FORMS) {
      const p = measured({ order: 2, limiter, form });
      expect(p).toBeGreaterThan(least);
      expect(p).toBeLessThan(most);
    }
  });

  test('2 for monotone data, away from extrema, with every limiter', () => {
    // A ramp of tanh moves without reaching the walls.
    const error = (n: number, limiter: AdvectionLimiter) =>
      tidy(() => {
        const profile = (t: number) =>
          Float64Array.from({ length: n }, (_, i) => Math.tanh(8 * ((i + 0.5) / n - 0.4 - t)));
        const u = tensor(profile(0), { shape: [1, 1, n], dtype: 'float64' });
        const w = advectUpwind1d(u, tensor([1], { dtype: 'float64' }), {
          ...{ dt: 0.2, dx: 1 / n, steps: Math.round(0.5 * n), order: 2, limiter },
        }).dataSync();
        const exact = profile(0.2);
        let sum = 0;
        for (let i = Math.round(0.3 * n); i < 0.9 * n; i++) sum += Math.abs(exact[i]! - w[i]!) / n;
        return sum;
      });
    for (const limiter of LIMITED) {
      const p = order(
        sizes.slice(1).map((n) => 1 / n),
        sizes.slice(1).map((n) => error(n, limiter)),
      );
      expect(p).toBeGreaterThan(1.85);
    }
  });
});

test.each(BOUNDARIES)('the adjoint of the first-order step, %s', (boundary) => {
  tidy(() => {
    for (const form of FORMS) {
      const [u, g] = [noise([2, 3, 14, 17], 13), noise([2, 3, 14, 17], 14)];
      const v = noise([1, 3, 2, 14, 17], 15);
      const options = { dt: 0.8, steps: 3, boundary, form } as const;
      const { value, pullback } = vjp((x: Tensor) => advectUpwind2d(x, v, options), u);
      const [gu] = pullback(g);
      const [left, right] = [
        dot(value.dataSync(), g.dataSync()),
        dot(u.dataSync(), gu!.dataSync()),
      ];
      expect(Math.abs(left - right)).toBeLessThan(1e-12 * u.size);
    }
  });
});

test('many steps, whose states are kept in segments, have the gradient of single steps', () => {
  tidy(() => {
    // 300 x 300 doubles and 30 steps exceed what is kept of one plane.
    const [u, v] = [noise([1, 1, 300, 300], 16), noise([1, 2, 300, 300], 17)];
    const g = noise([1, 1, 300, 300], 18);
    for (const second of [false, true]) {
      const options = second ? ({ order: 2, limiter: 'van-leer' } as const) : {};
      const together = vjp(
        (x: Tensor, a: Tensor) => advectUpwind2d(x, a, { dt: 6, steps: 30, ...options }),
        u,
        v,
      );
      const single = vjp(
        (x: Tensor, a: Tensor) => {
          for (let i = 0; i < 30; i++) x = advectUpwind2d(x, a, { dt: 0.2, ...options });
          return x;
        },
        u,
        v,
      );
      expect(together.value.sub(single.value).abs().max().item()).toBeLessThan(1e-12);
      const [a, b] = [together.pullback(g), single.pullback(g)];
      a.forEach((t, i) => expect(t.sub(b[i]!).abs().max().item()).toBeLessThan(1e-11));
    }
  });
});

test('one, two and three dimensions agree on fields of one variable', () => {
  tidy(() => {
    const [u, v] = [noise([2, 2, 13], 19), noise([2, 1, 13], 20)];
    for (const form of FORMS) {
      const options = { dt: 0.4, dx: 0.9, order: 2, form } as const;
      const line = advectUpwind1d(u, v, options).dataSync();
      const zero = v.mul(0);
      const plane = advectUpwind2d(
        u.reshape([2, 2, 1, 13]),
        v
          .reshape([2, 1, 1, 13])
          .repeat([1, 2, 1, 1])
          .mul(tensor([[[1]], [[0]]], { dtype: 'float64' })),
        options,
      );
      expect(plane.dataSync()).toEqual(line);
      const still = zero.reshape([2, 1, 13, 1, 1]);
      const along = v.reshape([2, 1, 13, 1, 1]);
      const volume = advectUpwind3d(
        u.reshape([2, 2, 13, 1, 1]),
        cat([still, still, along], { dim: 1 }),
        { ...options, dz: 0.9 },
      );
      expect(volume.dataSync()).toEqual(line);
    }
  });
});

describe('bad input', () => {
  const u = () => tensor([[[[1, 2, 3]]]]);
  const v = () => tensor([1, 2]);

  test.each([
    ['dt', { dt: 0 }],
    ['dt', { dt: NaN }],
    ['dx', { dt: 1, dx: -1 }],
    ['dy', { dt: 1, dy: Infinity }],
    ['dz', { dt: 1, dz: 1 }],
    ['boundary', { dt: 1, boundary: 'open' }],
    ['order', { dt: 1, order: 3 }],
    ['limiter', { dt: 1, order: 2, limiter: 'koren' }],
    ['limiter', { dt: 1, limiter: 'minmod' }],
    ['form', { dt: 1, form: 'flux' }],
    ['steps', { dt: 1, steps: 0 }],
    ['steps', { dt: 1, steps: 1.5 }],
    ['checkStability', { dt: 1, checkStability: 1 }],
    ['velocity', { dt: 1, velocity: 2 }],
  ])('%s of %p', (name, options) => {
    tidy(() => {
      const run = () => advectUpwind2d(u(), v(), options as never);
      expect(run).toThrow(
        expect.objectContaining({
          code: 'FLUXION_INVALID_ARGUMENT',
          op: 'advectUpwind2d',
        }) as Error,
      );
      expect(run).toThrow(name);
    });
  });

  test('shapes and dtypes', () => {
    tidy(() => {
      expect(() => advectUpwind2d(u(), tensor([1, 2, 3]), { dt: 1 })).toThrow(
        'advectUpwind2d: velocity must have shape [2], [1, 2], [1 or 1, 2, 1, 3] or [1 or 1, 1, 2, 1, 3], got [3]',
      );
      expect(() => advectUpwind1d(u(), v(), { dt: 1 })).toThrow('[N, C, L]');
      expect(() => advectUpwind3d(u(), v(), { dt: 1 })).toThrow('[N, C, D, H, W]');
      expect(() => advectUpwind2d(u(), tensor([1, 2], { dtype: 'float64' }), { dt: 1 })).toThrow(
        'float32',
      );
      expect(() => advectUpwind2d(u(), 1 as never, { dt: 1 })).toThrow('velocity must be a tensor');
      expect(() => advectUpwind2d(u().to('int32'), v(), { dt: 1 })).toThrow('float32 or float64');
    });
  });
});
