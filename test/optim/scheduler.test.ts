import { tensor } from '../../lib/ops';
import {
  Adam,
  CosineAnnealingLR,
  LinearWarmup,
  MultiStepLR,
  OneCycleLR,
  SGD,
  type Scheduler,
  StepLR,
} from '../../lib/optim';

function sgd(learningRate = 1): SGD {
  return new SGD([tensor([1], { requiresGrad: true })], { learningRate });
}

/** The learning rates of the steps 0 ... count. */
function rates(make: (optimizer: SGD) => Scheduler, count: number, base = 1): number[] {
  const optimizer = sgd(base);
  const scheduler = make(optimizer);
  return Array.from({ length: count + 1 }, (_, i) => {
    if (i > 0) scheduler.step();
    return optimizer.learningRate;
  });
}

function expectClose(actual: number[], expected: number[]): void {
  expect(actual).toHaveLength(expected.length);
  actual.forEach((value, i) => expect(value).toBeCloseTo(expected[i]!, 12));
}

test('StepLR', () => {
  const actual = rates((o) => new StepLR(o, 2, { gamma: 0.5 }), 5, 0.8);
  expectClose(actual, [0.8, 0.8, 0.4, 0.4, 0.2, 0.2]);
});

test('MultiStepLR', () => {
  const actual = rates((o) => new MultiStepLR(o, [1, 3, 3]), 4);
  expectClose(actual, [1, 0.1, 0.1, 0.001, 0.001]);
});

test('CosineAnnealingLR', () => {
  const actual = rates((o) => new CosineAnnealingLR(o, 4, { etaMin: 0.1 }), 4);
  const half = Math.SQRT1_2;
  expectClose(actual, [1, 0.55 + 0.45 * half, 0.55, 0.55 - 0.45 * half, 0.1]);
});

test('LinearWarmup', () => {
  const actual = rates((o) => new LinearWarmup(o, { startFactor: 0.5, totalSteps: 4 }), 6, 2);
  expectClose(actual, [1, 1.25, 1.5, 1.75, 2, 2, 2]);
});

describe('OneCycleLR', () => {
  // torch.optim.lr_scheduler.OneCycleLR: the phases end at pct_start * total_steps - 1 and total_steps - 1.
  const options = { totalSteps: 10, pctStart: 0.3, divFactor: 10, finalDivFactor: 100 };

  test('learning rate', () => {
    const cosine = (a: number, b: number, x: number) =>
      b + ((a - b) / 2) * (1 + Math.cos(Math.PI * x));
    const expected = Array.from({ length: 10 }, (_, t) =>
      t <= 2 ? cosine(0.2, 2, t / 2) : cosine(2, 0.002, (t - 2) / 7),
    );
    expectClose(
      rates((o) => new OneCycleLR(o, 2, options), 9),
      expected,
    );
  });

  test('linear', () => {
    const actual = rates((o) => new OneCycleLR(o, 2, { ...options, annealStrategy: 'linear' }), 2);
    expectClose(actual, [0.2, 1.1, 2]);
  });

  test('moves momentum the other way', () => {
    const adam = new Adam([tensor([1], { requiresGrad: true })]);
    const scheduler = new OneCycleLR(adam, 1, options);
    const betas = [adam.groups[0]!.betas];
    for (let i = 0; i < 9; i++) {
      scheduler.step();
      betas.push(adam.groups[0]!.betas);
    }
    expect(betas[0]).toEqual([0.95, 0.999]);
    expect(betas[2]![0]).toBeCloseTo(0.85, 12);
    expect(betas[9]![0]).toBeCloseTo(0.95, 12);
    const optimizer = sgd();
    void new OneCycleLR(optimizer, 1, { ...options, cycleMomentum: false });
    expect(optimizer.groups[0]!.momentum).toBe(0);
  });

  test('ends', () => {
    const scheduler = new OneCycleLR(sgd(), 1, { totalSteps: 2 });
    scheduler.step();
    scheduler.step();
    expect(() => scheduler.step()).toThrow('totalSteps = 2');
  });
});

test('each group has its base', () => {
  const params = () => [tensor([1], { requiresGrad: true })];
  const optimizer = new SGD([{ params: params(), learningRate: 1 }, { params: params() }], {
    learningRate: 0.5,
  });
  new StepLR(optimizer, 1).step();
  expect(optimizer.groups.map((group) => group.learningRate)).toEqual([0.1, 0.05]);
});

test('the state round-trips', () => {
  const a = sgd(0.7);
  const first = new CosineAnnealingLR(a, 10);
  for (let i = 0; i < 4; i++) first.step();
  const b = sgd(0.1);
  const second = new CosineAnnealingLR(b, 10);
  second.loadStateDict(JSON.parse(JSON.stringify(first.stateDict())) as never);
  expect(b.learningRate).toBe(a.learningRate);
  first.step();
  second.step();
  expect(b.learningRate).toBe(a.learningRate);
});

test.each<[string, () => unknown]>([
  ['stepSize', () => new StepLR(sgd(), 0)],
  ['milestones', () => new MultiStepLR(sgd(), [1.5])],
  ['tMax', () => new CosineAnnealingLR(sgd(), -1)],
  ['totalSteps', () => new OneCycleLR(sgd(), 1, {} as never)],
  ['pctStart', () => new OneCycleLR(sgd(), 1, { totalSteps: 3, pctStart: 2 })],
  [
    'annealStrategy',
    () => new OneCycleLR(sgd(), 1, { totalSteps: 3, annealStrategy: 'x' as never }),
  ],
  ["no option 'gama'", () => new StepLR(sgd(), 1, { gama: 1 } as never)],
])('a bad option is named: %s', (message, make) => {
  expect(make).toThrow(expect.objectContaining({ code: 'FLUXION_INVALID_ARGUMENT' }) as Error);
  expect(make).toThrow(message);
});
