// Generated data: shallow water that rests, keeps mass and follows the exact dam break; Gray-Scott; Q-tips.
import { data } from '../../lib';

const total = (values: ArrayLike<number>) => {
  let sum = 0;
  for (let i = 0; i < values.length; i++) sum += values[i]!;
  return sum;
};

describe('shallow water', () => {
  const bump = (n: number) =>
    Float64Array.from({ length: n * n }, (_, i) => {
      const [x, y] = [(i % n) / n - 0.4, Math.floor(i / n) / n - 0.6];
      return 0.8 * Math.exp(-30 * (x * x + y * y));
    });

  test.each([
    ['wall', 'hll', 1],
    ['outflow', 'rusanov', 1],
    ['periodic', 'hll', 1],
    ['wall', 'hll', 0.5], // an island
  ] as const)('a lake at rest stays at rest (%s, %s, surface %f)', (boundary, flux, surface) => {
    const n = 24;
    const ground = bump(n);
    const solver = new data.ShallowWaterSolver({
      cells: [n, n],
      dx: 1 / n,
      boundary,
      flux,
      ground,
    });
    for (let i = 0; i < n * n; i++) solver.h[i] = Math.max(0, surface - ground[i]!);
    const start = solver.h.slice();
    solver.advance(0.5);
    const change = solver.h.map((h, i) => Math.abs(h - start[i]!));
    expect(Math.max(...change)).toBeLessThan(1e-12);
    expect(Math.max(...solver.hu.map(Math.abs), ...solver.hv.map(Math.abs))).toBeLessThan(1e-12);
  });

  test.each(['wall', 'periodic'] as const)('mass is kept (%s), depth stays >= 0', (boundary) => {
    const n = 20;
    const ground = bump(n);
    const solver = new data.ShallowWaterSolver({ cells: [n, n], dx: 1 / n, boundary, ground });
    for (let i = 0; i < n * n; i++) solver.h[i] = i % n < n / 2 ? 1 : 0;
    const before = total(solver.h);
    solver.advance(0.3);
    expect(Math.abs(total(solver.h) / before - 1)).toBeLessThan(1e-12);
    expect(Math.min(...solver.h)).toBeGreaterThanOrEqual(0);
  });

  test.each(['hll', 'rusanov'] as const)('the exact dam break over a wet bed (%s)', (flux) => {
    // Stoker's solution for depths 1 and 0.1, g = 1: middle state h m with a shock to the right.
    const [hl, hr] = [1, 0.1];
    const shockJump = (h: number) =>
      2 * (Math.sqrt(hl) - Math.sqrt(h)) - (h - hr) * Math.sqrt((h + hr) / (2 * h * hr));
    let [low, high] = [hr, hl];
    for (let i = 0; i < 60; i++) {
      const middle = (low + high) / 2;
      if (shockJump(middle) > 0) low = middle;
      else high = middle;
    }
    const hm = (low + high) / 2;
    const um = 2 * (Math.sqrt(hl) - Math.sqrt(hm));
    const shock = (hm * um) / (hm - hr);
    const exact = (x: number, t: number) => {
      const s = x / t;
      if (s < -Math.sqrt(hl)) return hl;
      if (s < um - Math.sqrt(hm)) return (2 * Math.sqrt(hl) - s) ** 2 / 9;
      return s < shock ? hm : hr;
    };
    const errorAt = (n: number) => {
      const solver = new data.ShallowWaterSolver({
        cells: [n, 2],
        dx: 2 / n,
        boundary: 'outflow',
        flux,
      });
      const x = (i: number) => ((i % n) + 0.5) * (2 / n) - 1;
      for (let i = 0; i < 2 * n; i++) solver.h[i] = x(i) < 0 ? hl : hr;
      solver.advance(0.5);
      return total(solver.h.map((h, i) => Math.abs(h - exact(x(i), 0.5)))) / (2 * n);
    };
    const [coarse, fine] = [errorAt(100), errorAt(200)];
    expect(fine).toBeLessThan(0.006);
    expect(coarse / fine).toBeGreaterThan(1.6); // first order at a shock
  });

  test('second order for smooth waves', () => {
    const errorAt = (n: number) => {
      const solver = new data.ShallowWaterSolver({
        cells: [n, 2],
        dx: 1 / n,
        boundary: 'periodic',
      });
      for (let i = 0; i < 2 * n; i++) {
        solver.h[i] = 1 + 0.05 * Math.sin((2 * Math.PI * ((i % n) + 0.5)) / n);
      }
      solver.advance(0.2);
      return solver.h;
    };
    const restricted = (fine: Float64Array, n: number) =>
      Float64Array.from({ length: n }, (_, i) => (fine[2 * i]! + fine[2 * i + 1]!) / 2);
    const [a, b, c] = [32, 64, 128].map((n) => errorAt(n).slice(0, n));
    const gap = (coarse: Float64Array, fine: Float64Array) =>
      total(restricted(fine, coarse.length).map((v, i) => Math.abs(v - coarse[i]!))) /
      coarse.length;
    expect(gap(a!, b!) / gap(b!, c!)).toBeGreaterThan(3);
  });

  test('dam breaks of a seed, round and falling', () => {
    const options = { samples: 2, side: 32, frames: 4, time: 0.6, momentum: true, seed: 3 };
    const { data: values, shape } = data.shallowWater(options);
    expect(shape).toEqual([2, 4, 3, 32, 32]);
    expect(values).toEqual(data.shallowWater(options).data);
    const field = (n: number, f: number, c: number) =>
      values.subarray(((n * 4 + f) * 3 + c) * 1024, ((n * 4 + f) * 3 + c + 1) * 1024);
    expect(Math.max(...(field(0, 3, 0) as Float32Array))).toBeLessThan(1.7);
    expect(field(0, 0, 0)).not.toEqual(field(1, 0, 0));
    for (let i = 0; i < 32; i++) {
      for (let j = 0; j < 32; j++) {
        const h = field(1, 3, 0);
        expect(h[i * 32 + j]).toBeCloseTo(h[j * 32 + i]!, 6);
        expect(h[i * 32 + j]).toBeCloseTo(h[(31 - i) * 32 + j]!, 6);
      }
    }
    expect(data.shallowWater({ ...options, momentum: false }).shape).toEqual([2, 4, 1, 32, 32]);
  });

  test('refusals', () => {
    const make = (options: object) => () =>
      new data.ShallowWaterSolver({ cells: [4, 4], dx: 1, ...options });
    expect(make({ cells: [4, 1] })).toThrow(/cells must be/);
    expect(make({ cfl: 0.6 })).toThrow(/cfl must be/);
    expect(make({ flux: 'roe' })).toThrow(/flux must be/);
    expect(make({ ground: new Float64Array(3) })).toThrow(/ground must have 16 heights, got 3/);
    expect(() => data.shallowWater({ radius: [0.5, 0.1] })).toThrow(/radius must be/);
    expect(() => data.shallowWater({ dt: 0.1 } as object)).toThrow(/dt/);
  });
});

describe('Gray-Scott', () => {
  test('the state without reactant is at rest, spots grow', () => {
    const still = data.grayScott({ samples: 1, side: 8, frames: 2, spots: 0 });
    const u = still.data.subarray(128, 192) as Float32Array;
    expect(Math.max(...u.map((v) => Math.abs(v - 1)))).toBeLessThan(0.01);
    const { data: values, shape } = data.grayScott({ side: 32, frames: 6, seed: 2 });
    expect(shape).toEqual([1, 6, 2, 32, 32]);
    const reactant = (f: number) => total(values.subarray((2 * f + 1) * 1024, (2 * f + 2) * 1024));
    expect(reactant(5)).toBeGreaterThan(2 * reactant(0));
  });

  test('without reactions the mean of u goes to 1 at the feed rate', () => {
    const feed = 0.02;
    const { data: values } = data.grayScott({ side: 8, frames: 2, interval: 50, spots: 0, feed });
    const mean = (f: number) => total(values.subarray(2 * f * 64, (2 * f + 1) * 64)) / 64;
    const steps = 50 / 0.78125; // 1 / (8 * 0.16)
    const factor = (1 - feed * 0.78125) ** steps;
    expect((1 - mean(1)) / (1 - mean(0))).toBeCloseTo(factor, 2);
  });

  test('refusals', () => {
    expect(() => data.grayScott({ side: 2 })).toThrow(/side must be/);
    expect(() => data.grayScott({ diffusivity: [1, -1] })).toThrow(/diffusivity must be/);
  });
});

describe('Q-tips', () => {
  const { images, labels } = data.qTips({ samples: 40, seed: 1 });
  const of = (n: number) => {
    const at = (a: data.HostArray) => Array.from(a.data.subarray(n * 4096, (n + 1) * 4096));
    return { pixels: at(images), classes: at(labels) };
  };

  test('the marks at the ends tell the class of the whole bar', () => {
    const seen = new Set<number>();
    for (let n = 0; n < 40; n++) {
      const { pixels, classes } = of(n);
      const kinds = new Set(classes.filter((c) => c > 0));
      expect(kinds.size).toBe(1);
      const kind = [...kinds][0]!;
      seen.add(kind);
      const count = (value: number) => pixels.filter((p) => p === value).length;
      expect(count(255) > 0).toBe(kind <= 2);
      expect(count(1) > 0).toBe(kind >= 2);
      // The bar: 2 wide, 32 to 59 long.
      const area = classes.filter((c) => c > 0).length;
      expect(area).toBeGreaterThan(50);
      expect(area).toBeLessThan(130);
      expect(pixels.every((p, i) => (p === 112) === (classes[i] === 0))).toBe(true);
    }
    expect([...seen].sort()).toEqual([1, 2, 3]);
  });

  test('are the same for the same seed, and begin alike for more samples', () => {
    const fewer = data.qTips({ samples: 3, seed: 1 });
    expect(fewer.images.data).toEqual(images.data.subarray(0, 3 * 4096));
    expect(data.qTips({ samples: 3, seed: 2 }).images.data).not.toEqual(fewer.images.data);
  });

  test('refusals', () => {
    expect(() => data.qTips({ lengths: [40, 20] })).toThrow(/lengths must be/);
    expect(() => data.qTips({ side: 3 })).toThrow(/side must be/);
  });
});
