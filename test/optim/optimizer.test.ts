import { memory } from '../../lib/tensor/tensor';
import type { Tensor } from '../../lib/tensor/tensor';
import { tidy } from '../../lib/autograd/tidy';
import { tensor } from '../../lib/ops';
import { Adam, AdamW, type AdamOptions, SGD, type SGDOptions, clipGradNorm } from '../../lib/optim';

const START = [0.5, -1.5, 2, 0.25];
/** Gradients of four steps. */
const GRADS = [
  [0.1, -0.2, 0.3, 0],
  [-1, 2, 0.5, 1e-3],
  [0.7, 0.7, -0.7, 5],
  [0, 0, 1, -1],
];

function parameter(values = START, dtype: 'float32' | 'float64' = 'float64'): Tensor {
  return tensor(values, { dtype, requiresGrad: true });
}

function setGrad(p: Tensor, values: number[]): void {
  p.grad?.dispose();
  p.grad = tensor(values, { dtype: p.dtype });
}

function referenceAdam(options: Partial<AdamOptions>, decoupled: boolean): number[] {
  const { learningRate = 1e-3, betas = [0.9, 0.999], eps = 1e-8, weightDecay = 0 } = options;
  const p = [...START];
  const m = p.map(() => 0);
  const v = p.map(() => 0);
  GRADS.forEach((grads, t) => {
    for (let i = 0; i < p.length; i++) {
      if (decoupled) p[i]! *= 1 - learningRate * weightDecay;
      const g = grads[i]! + (decoupled ? 0 : weightDecay * p[i]!);
      m[i] = betas[0] * m[i]! + (1 - betas[0]) * g;
      v[i] = betas[1] * v[i]! + (1 - betas[1]) * g * g;
      const mHat = m[i]! / (1 - betas[0] ** (t + 1));
      const vHat = v[i]! / (1 - betas[1] ** (t + 1));
      p[i]! -= (learningRate * mHat) / (Math.sqrt(vHat) + eps);
    }
  });
  return p;
}

function referenceSgd(options: Partial<SGDOptions>): number[] {
  const { learningRate = 1e-3, momentum = 0, dampening = 0, weightDecay = 0, nesterov } = options;
  const p = [...START];
  const b = p.map(() => 0);
  GRADS.forEach((grads, t) => {
    for (let i = 0; i < p.length; i++) {
      let g = grads[i]! + weightDecay * p[i]!;
      if (momentum > 0) {
        b[i] = t === 0 ? g : momentum * b[i]! + (1 - dampening) * g;
        g = nesterov ? g + momentum * b[i]! : b[i]!;
      }
      p[i]! -= learningRate * g;
    }
  });
  return p;
}

function expectClose(actual: ArrayLike<number>, expected: number[], relative = 1e-14): void {
  expected.forEach((value, i) => {
    expect(Math.abs(actual[i]! - value)).toBeLessThanOrEqual(relative * (1 + Math.abs(value)));
  });
}

function train(optimizer: { step(): void }, p: Tensor): void {
  for (const grads of GRADS) {
    setGrad(p, grads);
    optimizer.step();
  }
}

describe('formulas', () => {
  test.each<Partial<AdamOptions>>([
    {},
    { learningRate: 0.1, betas: [0.8, 0.9], eps: 1e-3 },
    { learningRate: 0.05, weightDecay: 0.1 },
  ])('Adam and AdamW %j', (options) => {
    const p = parameter();
    train(new Adam([p], options), p);
    expectClose(p.dataSync(), referenceAdam(options, false));
    const q = parameter();
    train(new AdamW([q], options), q);
    expectClose(q.dataSync(), referenceAdam({ weightDecay: 0.01, ...options }, true));
  });

  test.each<Partial<SGDOptions>>([
    { learningRate: 0.1 },
    { learningRate: 0.1, weightDecay: 0.2 },
    { learningRate: 0.1, momentum: 0.9 },
    { learningRate: 0.1, momentum: 0.9, dampening: 0.3, weightDecay: 0.01 },
    { learningRate: 0.1, momentum: 0.9, nesterov: true },
  ])('SGD %j', (options) => {
    const p = parameter();
    train(new SGD([p], options), p);
    expectClose(p.dataSync(), referenceSgd(options));
  });

  test('float32', () => {
    const p = parameter(START, 'float32');
    train(new Adam([p], { learningRate: 0.1 }), p);
    expectClose(p.dataSync(), referenceAdam({ learningRate: 0.1 }, false), 1e-6);
  });
});

describe('groups', () => {
  test('have their own options', () => {
    const [a, b] = [parameter(), parameter()];
    const optimizer = new SGD([{ params: [a] }, { params: [b], learningRate: 0.5 }], {
      learningRate: 0.1,
    });
    setGrad(a, [1, 1, 1, 1]);
    setGrad(b, [1, 1, 1, 1]);
    optimizer.step();
    expectClose(
      a.dataSync(),
      START.map((x) => x - 0.1),
    );
    expectClose(
      b.dataSync(),
      START.map((x) => x - 0.5),
    );
    optimizer.learningRate = 0.2;
    expect(optimizer.groups.map((group) => group.learningRate)).toEqual([0.2, 0.2]);
  });

  test('a parameter without a gradient stays', () => {
    const [a, b] = [parameter(), parameter()];
    setGrad(a, [1, 1, 1, 1]);
    new Adam([a, b]).step();
    expect([...b.dataSync()]).toEqual(START);
  });
});

describe('memory', () => {
  test.each([Adam, SGD])('%p: a step leaves nothing behind', (Optimizer) => {
    const p = parameter();
    const optimizer = new Optimizer([p], Optimizer === SGD ? { momentum: 0.9 } : {});
    train(optimizer, p);
    const { tensors, bytes } = memory();
    for (let i = 0; i < 10; i++) optimizer.step();
    expect(memory()).toMatchObject({ tensors, bytes });
    optimizer.dispose();
    optimizer.zeroGrad();
    expect(memory().tensors).toBe(tensors - (Optimizer === SGD ? 1 : 2) - 1);
    expect(p.grad).toBeNull();
    p.dispose();
  });

  test('the state outlives the scope that made it', () => {
    const p = parameter();
    const optimizer = new Adam([p]);
    tidy(() => setGrad(p, GRADS[0]!));
    p.grad = tensor(GRADS[0]!, { dtype: 'float64' });
    tidy(() => optimizer.step());
    optimizer.step();
    expect(p.requiresGrad && p.isLeaf).toBe(true);
  });
});

describe('state', () => {
  test.each([Adam, SGD])('%p: a copy continues as the original', (Optimizer) => {
    const options = Optimizer === SGD ? { momentum: 0.9 } : {};
    const p = parameter();
    const first = new Optimizer([p], { ...options, learningRate: 0.1 });
    train(first, p);
    const q = tensor(p.dataSync(), { requiresGrad: true });
    const second = new Optimizer([q], options);
    second.loadStateDict(first.stateDict() as never);
    expect(second.learningRate).toBe(0.1);
    train(first, p);
    first.dispose();
    train(second, q);
    expect([...q.dataSync()]).toEqual([...p.dataSync()]);
  });

  test('of other parameters is refused and changes nothing', () => {
    const p = parameter();
    const optimizer = new Adam([p]);
    train(optimizer, p);
    const other = new Adam([tensor([1, 2], { dtype: 'float64', requiresGrad: true })], {
      learningRate: 0.3,
    });
    expect(() => other.loadStateDict(optimizer.stateDict())).toThrow(/parameter 0 must be float64/);
    expect(other.learningRate).toBe(0.3);
    const two = new Adam([parameter(), parameter()]);
    expect(() => two.loadStateDict(optimizer.stateDict())).toThrow(/groups must have/);
  });
});

test.each<[string, () => unknown]>([
  ['learningRate', () => new Adam([parameter()], { learningRate: -1 })],
  ['learningRate', () => new SGD([parameter()], { learningRate: NaN })],
  ['betas', () => new Adam([parameter()], { betas: [1, 0.9] })],
  ['nesterov', () => new SGD([parameter()], { nesterov: true })],
  ["no option 'lr'", () => new Adam([parameter()], { lr: 1 } as never)],
  ['at least one', () => new Adam([])],
  ['appear once', () => ((p) => new Adam([p, p]))(parameter())],
  ['floating-point', () => new Adam([tensor([1], { dtype: 'int32' })])],
  ['list of tensors', () => new Adam(undefined as never)],
])('a bad option is named: %s', (message, make) => {
  expect(make).toThrow(expect.objectContaining({ code: 'FLUXION_INVALID_ARGUMENT' }) as Error);
  expect(make).toThrow(message);
});

describe('clipGradNorm', () => {
  test('scales the gradients to the norm, and not below it', () => {
    const [a, b] = [parameter(), parameter([3, 4], 'float32')];
    setGrad(a, [1, 2, 2, 0]);
    setGrad(b, [0, 4]);
    const norm = clipGradNorm([a, b], 2.5);
    expect(norm.item()).toBeCloseTo(5, 6);
    expectClose(a.grad!.dataSync(), [0.5, 1, 1, 0], 1e-6);
    expectClose(b.grad!.dataSync(), [0, 2], 1e-6);
    clipGradNorm([a, b], 100);
    expectClose(a.grad!.dataSync(), [0.5, 1, 1, 0], 1e-6);
  });
});
