// What a step may overwrite and what it must not; groups that are added, projections, tied weights.
import type { Tensor } from '../../lib';
import {
  add,
  matmul,
  memory,
  mul,
  nn,
  optim,
  permute,
  reshape,
  sum,
  tensor,
  tidy,
} from '../../lib';

const float64 = { dtype: 'float64' } as const;

function parameter(values: number[] | number[][]): Tensor {
  return tensor(values, { ...float64, requiresGrad: true });
}

function setGrad(p: Tensor, values: number[] | number[][]): void {
  p.grad?.dispose();
  p.grad = tensor(values, { dtype: p.dtype as 'float64' });
}

const bytes = () => memory().bytes;

describe('a step overwrites only what nobody else sees', () => {
  const make = () => {
    const p = parameter([1, 2]);
    setGrad(p, [1, 1]);
    return { p, optimizer: new optim.SGD([p], { learningRate: 1 }) };
  };

  test('a view and a detached copy keep the old contents', () => {
    const { p, optimizer } = make();
    const view = reshape(p.detach(), [2, 1]);
    const copy = p.detach();
    optimizer.step();
    optimizer.step();
    expect([...view.dataSync(), ...copy.dataSync(), ...p.dataSync()]).toEqual([1, 2, 1, 2, -1, 0]);
  });

  test('so does what a computation has saved for backward', () => {
    const { p, optimizer } = make();
    const q = parameter([3, 4]);
    const loss = sum(mul(p, q));
    optimizer.step();
    loss.backward();
    expect([...q.grad!.dataSync()]).toEqual([1, 2]);
  });

  test('a state that was loaded is not the state it came from', () => {
    const [p, q] = [parameter([1]), parameter([1])];
    const [first, second] = [p, q].map((x) => new optim.Adam([x], { learningRate: 0.1 }));
    setGrad(p, [1]);
    setGrad(q, [1]);
    first!.step();
    second!.loadStateDict(first!.stateDict());
    const before = (first!.stateDict().state[0]!.m as Tensor).item();
    second!.step();
    expect((first!.stateDict().state[0]!.m as Tensor).item()).toBe(before);
  });

  test('a view on other memory becomes memory of its own', () => {
    const base = tensor([[1, 2], [3, 4]], float64); // prettier-ignore
    const p = base.permute([1, 0]);
    p.requiresGrad = true;
    setGrad(p, [[1, 1], [1, 1]]); // prettier-ignore
    new optim.SGD([p], { learningRate: 1 }).step();
    expect([...p.dataSync()]).toEqual([0, 2, 1, 3]);
    expect([...base.dataSync()]).toEqual([1, 2, 3, 4]);
  });

  test('steps of a parameter alone take no memory', () => {
    const { p, optimizer } = make();
    optimizer.step();
    const before = bytes();
    for (let i = 0; i < 5; i++) optimizer.step();
    expect(bytes()).toBe(before);
    expect(p.isLeaf && p.requiresGrad).toBe(true);
  });

  test('many parameters, float32 and float64 together', () => {
    const params = Array.from({ length: 300 }, (_, i) =>
      tensor([i], { dtype: i % 2 ? 'float32' : 'float64', requiresGrad: true }),
    );
    for (const p of params) p.grad = tensor([1], { dtype: p.dtype as 'float64' });
    new optim.SGD(params, { learningRate: 1, momentum: 0.5 }).step();
    params.forEach((p, i) => expect(p.item()).toBe(i - 1));
    new optim.Adam(params, { learningRate: 1, eps: 0 }).step();
    params.forEach((p, i) => expect(p.item()).toBeCloseTo(i - 2, 4));
  });

  test('a gradient that does not fit is refused under the name of the optimizer', () => {
    const { p, optimizer } = make();
    p.grad = tensor([1], float64);
    expect(() => optimizer.step()).toThrow(
      expect.objectContaining({ code: 'FLUXION_SHAPE_MISMATCH', op: 'SGD' }) as Error,
    );
    p.grad = tensor([1, 1], { dtype: 'float32' });
    expect(() => optimizer.step()).toThrow(
      expect.objectContaining({ code: 'FLUXION_DTYPE_MISMATCH', op: 'SGD' }) as Error,
    );
  });
});

describe('addParameterGroup', () => {
  test('the group has options of its own; schedulers follow it', () => {
    const [a, b] = [parameter([0]), parameter([0])];
    const optimizer = new optim.SGD([a], { learningRate: 1, momentum: 0.5 });
    const scheduler = new optim.StepLR(optimizer, 2, { gamma: 0.1 });
    scheduler.step();
    optimizer.addParameterGroup({ params: [b], learningRate: 0.5 });
    scheduler.step();
    expect(optimizer.groups.map((g) => g.learningRate)).toEqual([0.1, 0.05]);
    expect(optimizer.groups[1]!.momentum).toBe(0.5);
    setGrad(b, [1]);
    optimizer.step();
    expect(b.item()).toBeCloseTo(-0.05, 15);
    const state = scheduler.stateDict();
    expect(state).toEqual({ step: 2, baseLearningRates: [1, 0.5] });
    scheduler.loadStateDict(state);
  });

  test('refuses a parameter that is there already', () => {
    const a = parameter([0]);
    const optimizer = new optim.SGD([a]);
    expect(() => optimizer.addParameterGroup({ params: [a] })).toThrow('must appear once');
    expect(optimizer.groups).toHaveLength(1);
  });
});

describe('projections', () => {
  test('are applied after each step, in their order', () => {
    const [p, q] = [parameter([0.5, 2]), parameter([1])];
    const optimizer = new optim.SGD([p, q], { learningRate: 1 });
    optimizer.project(p, optim.nonNegative());
    optimizer.project([p], (x) => x.mul(2));
    setGrad(p, [1, 1]);
    setGrad(q, [3]);
    optimizer.step();
    expect([...p.dataSync(), q.item()]).toEqual([0, 2, -2]);
    const { tensors, bytes: live } = memory();
    optimizer.step();
    expect([...p.dataSync()]).toEqual([0, 2]);
    expect(memory()).toMatchObject({ tensors, bytes: live });
    expect(p.requiresGrad && p.isLeaf).toBe(true);
  });

  test('clampProjection', () => {
    const project = optim.clampProjection({ min: -1, max: 0.5 });
    expect([...project(tensor([-2, 0, 2])).dataSync()]).toEqual([-1, 0, 0.5]);
  });

  test('normBall shortens what is longer, and only that', () => {
    const [x, y] = optim
      .normBall(1)(tensor([3, 4], float64))
      .dataSync();
    expect(Math.hypot(x!, y!)).toBeCloseTo(1, 14);
    expect(x! / y!).toBeCloseTo(0.75, 14);
    expect([
      ...optim
        .normBall(10)(tensor([3, 4]))
        .dataSync(),
    ]).toEqual([3, 4]);
    const rows = tensor([[3, 4], [0, 0]], float64); // prettier-ignore
    const projected = optim.normBall(1, { dim: 1 })(rows).dataSync();
    [0.6, 0.8, 0, 0].forEach((v, i) => expect(projected[i]!).toBeCloseTo(v, 14));
  });

  test.each([
    ['[2]', [2]],
    ['[C, 2]', [3, 2]],
    ['[N, 2, H, W]', [1, 2, 3, 2]],
    ['[N, C, 2, H, W]', [1, 3, 2, 2, 2]],
  ])('courantBall of velocities %s', (_, shape) => {
    const size = shape.reduce((a, b) => a * b);
    const values = Float64Array.from({ length: size }, (_v, i) => ((i * 7) % 11) - 5);
    const velocity = tensor(values, { shape, ...float64 });
    const [dt, dx, dy] = [0.5, 1, 2];
    const projected = optim.courantBall({ dt, dx, dy, limit: 0.9 })(velocity).dataSync();
    const inner = shape.length < 3 ? 1 : shape.at(-1)! * shape.at(-2)!;
    for (let i = 0; i < size; i++) {
      if (Math.floor(i / inner) % 2 === 1) continue;
      const courant = (v: ArrayLike<number>) =>
        (dt * Math.abs(v[i]!)) / dx + (dt * Math.abs(v[i + inner]!)) / dy;
      expect(courant(projected)).toBeCloseTo(Math.min(0.9, courant(values)), 12);
    }
  });

  test.each<[string, () => unknown]>([
    ['parameters', () => new optim.SGD([parameter([1])]).project(parameter([1]), (x) => x)],
    ['radius', () => optim.normBall(0)],
    ['dt', () => optim.courantBall({} as never)],
    ['min', () => optim.clampProjection({ min: 1, max: 0 })],
  ])('a bad argument is named: %s', (message, make) => {
    expect(make).toThrow(expect.objectContaining({ code: 'FLUXION_INVALID_ARGUMENT' }) as Error);
    expect(make).toThrow(message);
  });
});

describe('tied weights', () => {
  class Tied extends nn.Module {
    readonly first = new nn.Linear(2, 2, { bias: false });
    readonly second = new nn.Linear(2, 2, { bias: false });
    constructor() {
      super();
      Object.assign(this.second, { weight: this.first.weight });
    }
    forward(x: Tensor): Tensor {
      return this.second.forward(this.first.forward(x));
    }
  }

  test('appear once, take the sum of the gradients and one step', () => {
    const model = new Tied();
    expect(model.parameters()).toEqual([model.first.weight]);
    expect(Object.keys(model.stateDict())).toEqual(['first.weight']);
    const x = tensor([[1, 2]]);
    const w = [...model.first.weight.dataSync()];
    const untied = [0, 1].map(() => tensor(w, { shape: [2, 2], requiresGrad: true }));
    tidy(() => sum(model.forward(x)).backward());
    const [a, b] = untied.map((w2) => permute(w2, [1, 0])) as [Tensor, Tensor];
    sum(matmul(matmul(x, a), b)).backward();
    const expected = add(untied[0]!.grad!, untied[1]!.grad!).dataSync();
    const actual = model.first.weight.grad!.dataSync();
    expected.forEach((g, i) => expect(actual[i]!).toBeCloseTo(g, 5));
    new optim.SGD(model.parameters(), { learningRate: 0.1 }).step();
    expected.forEach((g, i) =>
      expect(model.second.weight.dataSync()[i]!).toBeCloseTo(w[i]! - 0.1 * g, 5),
    );
  });

  test('stay tied when a state is loaded and when the dtype changes', () => {
    const [source, model] = [new Tied(), new Tied()];
    model.loadStateDict(source.stateDict());
    model.to('float64');
    expect(model.second.weight).toBe(model.first.weight);
    expect(model.second.weight.dtype).toBe('float64');
    const values = Array.from(source.first.weight.dataSync());
    expect(Array.from(model.second.weight.dataSync())).toEqual(values);
  });
});

describe('LBFGS', () => {
  const quadratic = (optimizer: optim.LBFGS, x: Tensor) => () => {
    optimizer.zeroGrad();
    const loss = sum(mul(x, x));
    loss.backward();
    return loss;
  };

  test('a copy continues as the original', () => {
    const options = { maxIter: 2, historySize: 2, learningRate: 0.3 };
    const x = parameter([1, -2]);
    const first = new optim.LBFGS([x], options);
    first.step(quadratic(first, x));
    first.step(quadratic(first, x));
    const y = parameter([...x.dataSync()]);
    const second = new optim.LBFGS([y], options);
    second.loadStateDict(first.stateDict());
    first.step(quadratic(first, x));
    second.step(quadratic(second, y));
    expect([...y.dataSync()]).toEqual([...x.dataSync()]);
  });

  test('steps leave nothing behind but the history', () => {
    const x = parameter([1, -2]);
    const optimizer = new optim.LBFGS([x], { maxIter: 3, historySize: 2, learningRate: 0.1 });
    const step = () => tidy(() => optimizer.step(quadratic(optimizer, x)).item());
    step();
    step();
    const { tensors } = memory();
    step();
    expect(memory().tensors).toBe(tensors);
    optimizer.project(x, optim.nonNegative());
    step();
    expect(x.dataSync()[1]).toBe(0);
  });

  test.each<[string, () => unknown]>([
    ['closure', () => new optim.LBFGS([parameter([1])]).step()],
    ['loss of one element', () => new optim.LBFGS([parameter([1])]).step(() => parameter([1, 2]))],
    ['lineSearchFn', () => new optim.LBFGS([parameter([1])], { lineSearchFn: 'x' as never })],
    ['historySize', () => new optim.LBFGS([parameter([1])], { historySize: 0 })],
    ['one dtype', () => new optim.LBFGS([parameter([1]), tensor([1], { requiresGrad: true })])],
    [
      'one group',
      () => new optim.LBFGS([{ params: [parameter([1])] }, { params: [parameter([1])] }]),
    ],
  ])('a bad argument is named: %s', (message, make) => {
    expect(make).toThrow(expect.objectContaining({ code: 'FLUXION_INVALID_ARGUMENT' }) as Error);
    expect(make).toThrow(message);
  });
});

describe('clipGradNorm', () => {
  test('takes one parameter too, and a gradient once', () => {
    const [p, q] = [parameter([1]), parameter([1])];
    setGrad(p, [2]);
    q.grad = p.grad;
    expect(optim.clipGradNorm(p, 1).item()).toBe(2);
    expect(p.grad!.item()).toBeCloseTo(1, 5);
    expect(optim.clipGradNorm([p, q], 0.5).item()).toBeCloseTo(1, 5);
    q.grad = null;
  });

  test('a norm that is not finite', () => {
    const p = parameter([1, 2]);
    setGrad(p, [NaN, 1]);
    expect(() => optim.clipGradNorm(p, 1, { errorIfNonfinite: true }).item()).toThrow(
      'must have a finite norm',
    );
    expect([...p.grad!.dataSync()]).toEqual([NaN, 1]);
    optim.clipGradNorm(p, 1);
    expect([...p.grad!.dataSync()]).toEqual([NaN, NaN]);
  });

  test.each<[string, () => unknown]>([
    ['maxNorm', () => optim.clipGradNorm([parameter([1])], 0)],
    ['normType', () => optim.clipGradNorm([parameter([1])], 1, { normType: -1 })],
    ['must have a gradient', () => optim.clipGradNorm([parameter([1])], 1)],
  ])('a bad argument is named: %s', (message, make) => {
    expect(make).toThrow(
      expect.objectContaining({ code: 'FLUXION_INVALID_ARGUMENT', op: 'clipGradNorm' }) as Error,
    );
    expect(make).toThrow(message);
  });
});

test.each<[string, () => unknown]>([
  ['factor', () => new optim.ReduceLROnPlateau(new optim.SGD([parameter([1])]), { factor: 1 })],
  [
    'milestones',
    () => {
      const o = new optim.SGD([parameter([1])]);
      return new optim.SequentialLR(o, [new optim.ExponentialLR(o, 0.5)], [1]);
    },
  ],
  [
    'schedulers',
    () => {
      const [o, other] = [0, 1].map(() => new optim.SGD([parameter([1])])) as [
        optim.SGD,
        optim.SGD,
      ];
      return new optim.SequentialLR(o, [new optim.ExponentialLR(other, 0.5)], []);
    },
  ],
])('a bad option of a scheduler is named: %s', (message, make) => {
  expect(make).toThrow(expect.objectContaining({ code: 'FLUXION_INVALID_ARGUMENT' }) as Error);
  expect(make).toThrow(message);
});
