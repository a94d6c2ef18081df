// Normalisations and losses as a user of the functions meets them: the fused activation against the function
// after it, running statistics, refusals.
import {
  type FusedActivation,
  type Tensor,
  batchNorm,
  bceWithLogits,
  crossEntropy,
  elu,
  gelu,
  grad,
  groupNorm,
  huberLoss,
  instanceNorm,
  leakyRelu,
  logsumexp,
  max,
  nllLoss,
  nn,
  prod,
  randn,
  relu,
  sigmoid,
  silu,
  smoothL1Loss,
  softplus,
  std,
  sum,
  tanh,
  tensor,
  variance,
} from '../../lib';
import { expectClose } from '../cases/case';

const AFTER = { relu, leakyRelu, elu, gelu, silu, softplus, tanh, sigmoid };
const close = (a: Tensor, b: Tensor, label: string) =>
  expectClose(a.dataSync(), b.dataSync(), 1e-12, label);
const normal = (shape: number[], seed: number) => randn(shape, { seed, dtype: 'float64' });

describe('an activation in the same pass', () => {
  const names = Object.keys(AFTER) as (keyof typeof AFTER)[];
  const shapes = [
    [4, 3, 19],
    [3, 8, 5, 5],
    [6, 5],
  ];
  test.each(names)('%s is the function after it, and its gradients', (name) => {
    for (const shape of shapes) {
      const [x, weight, bias] = [normal(shape, 1), normal([shape[1]!], 2), normal([shape[1]!], 3)];
      const c = normal(shape, 4);
      const norms = [
        (u: Tensor, w: Tensor, b: Tensor, activation: FusedActivation) =>
          batchNorm(u, { weight: w, bias: b, training: true, activation }),
        (u: Tensor, w: Tensor, b: Tensor, activation: FusedActivation) =>
          groupNorm(u, 1, { weight: w, bias: b, activation }),
      ];
      for (const norm of norms) {
        const run = (fuse: boolean) => (u: Tensor, w: Tensor, b: Tensor) =>
          fuse ? norm(u, w, b, name) : AFTER[name](norm(u, w, b, 'none'));
        close(run(true)(x, weight, bias), run(false)(x, weight, bias), name);
        const gradients = (fuse: boolean) =>
          grad((u: Tensor, w: Tensor, b: Tensor) => sum(run(fuse)(u, w, b).mul(c)))(
            x,
            weight,
            bias,
          );
        const plain = gradients(false);
        gradients(true).forEach((g, i) => close(g, plain[i]!, `${name}, gradient ${i}`));
      }
    }
  });

  test('Sequential joins a batch normalisation with the activation after it', () => {
    const norm = new nn.BatchNorm2d(3);
    const act = new nn.ReLU();
    const x = randn([2, 3, 5, 4], { seed: 1 });
    const joined = new nn.Sequential(norm, act).forward(x);
    expect([...joined.dataSync()]).toEqual([...act.forward(norm.forward(x)).dataSync()]);
  });
});

describe('running statistics', () => {
  test('batchNorm blends the unbiased variance', () => {
    const x = normal([5, 2, 7], 1);
    const [runningMean, runningVar] = [normal([2], 2), normal([2], 3)];
    const [m, v] = [runningMean.clone(), runningVar.clone()];
    batchNorm(x, { runningMean, runningVar, training: true, momentum: 0.3 });
    close(runningMean, m.mul(0.7).add(x.mean({ dim: [0, 2] }).mul(0.3)), 'mean');
    close(runningVar, v.mul(0.7).add(x.var({ dim: [0, 2] }).mul(0.3)), 'variance');
  });

  test('instanceNorm averages them over the images; without input statistics it uses them', () => {
    const x = normal([5, 2, 7], 1);
    const [runningMean, runningVar] = [normal([2], 2), normal([2], 3).abs().add(0.5)];
    const [m, v] = [runningMean.clone(), runningVar.clone()];
    instanceNorm(x, { runningMean, runningVar });
    close(runningMean, m.mul(0.9).add(x.mean({ dim: [0, 2] }).mul(0.1)), 'mean');
    const fresh = x.var({ dim: 2 }).mean({ dim: 0 });
    close(runningVar, v.mul(0.9).add(fresh.mul(0.1)), 'variance');
    const y = instanceNorm(x, { runningMean, runningVar, useInputStats: false });
    close(y, batchNorm(x, { runningMean, runningVar }), 'result');
  });
});

describe('at the edges', () => {
  test('a position that is ignored counts neither in the loss nor in the gradient', () => {
    const z = normal([3, 4], 1);
    const target = tensor([2, -100, 1], { dtype: 'int32' });
    const rest = z.indexSelect(0, tensor([0, 2], { dtype: 'int32' }));
    const kept = tensor([2, 1], { dtype: 'int32' });
    close(crossEntropy(z, target), crossEntropy(rest, kept), 'loss');
    const [g] = grad((u: Tensor) => crossEntropy(u, target))(z);
    expect([...g!.select(0, 1).dataSync()]).toEqual([0, 0, 0, 0]);
    const none = tensor([-100], { dtype: 'int32' });
    expect(crossEntropy(normal([1, 4], 2), none).item()).toBeNaN();
    expect(crossEntropy(normal([1, 4], 2), none, { reduction: 'sum' }).item()).toBe(0);
  });

  test('the deviation of equal values has the gradient 0, as in PyTorch', () => {
    const [g] = grad((x: Tensor) => std(x))(tensor([2, 2, 2]));
    expect([...g!.dataSync()]).toEqual([0, 0, 0]);
  });

  test('empty and single reductions', () => {
    const empty = tensor(new Float32Array(0), { shape: [0] });
    expect([sum(empty).item(), prod(empty).item()]).toEqual([0, 1]);
    expect([empty.mean().item(), variance(empty).item()]).toEqual([NaN, NaN]);
    expect(variance(tensor([3])).item()).toBeNaN();
    expect(logsumexp(empty, 0).item()).toBe(-Infinity);
    expect(() => max(empty)).toThrow(/must have elements/);
  });

  test('a variance beside a large mean', () => {
    const x = normal([10_000], 1);
    const shifted = x.add(1e6);
    expectClose(variance(shifted).dataSync(), variance(x).dataSync(), 1e-8, 'variance');
  });
});

describe('refusals', () => {
  const x = randn([2, 4, 3], { seed: 1 });
  const labels = tensor(
    [
      [0, 1, 2],
      [1, 2, 3],
    ],
    { dtype: 'int32' },
  );
  test.each([
    ['numGroups', () => groupNorm(x, 3), /numGroups must divide the 4 channels, got 3/],
    [
      'activation',
      () => batchNorm(x, { training: true, activation: 'sine' as never }),
      /activation must be one of/,
    ],
    ['planes', () => instanceNorm(x.slice(2, 0, 1)), /more than one value per plane/],
    [
      'weight',
      () => crossEntropy(x, labels, { weight: randn([3]) }),
      /weight must have shape \[4\], got \[3\]/,
    ],
    [
      'target',
      () => crossEntropy(x, labels.slice(1, 0, 2)),
      /target must have the shape of logits/,
    ],
    ['nllLoss', () => nllLoss(x, randn([2, 3])), /nllLoss: target must be int32 or uint8/],
    [
      'smoothing',
      () => crossEntropy(x, labels, { labelSmoothing: 2 }),
      /labelSmoothing must be in \[0, 1\], got 2/,
    ],
    [
      'ignoreIndex',
      () => nllLoss(x, labels, { ignoreIndex: 0.5 }),
      /ignoreIndex must be an integer, got 0.5/,
    ],
    ['delta', () => huberLoss(x, x, { delta: 0 }), /delta must be a finite number > 0, got 0/],
    ['beta', () => smoothL1Loss(x, x, { beta: -1 }), /beta must be a finite number >= 0, got -1/],
    ['shape', () => bceWithLogits(x, labels), /target must have the shape of x/],
    [
      'posWeight',
      () => bceWithLogits(x, x, { posWeight: randn([2]) }),
      /posWeight must broadcast to/,
    ],
    ['reduction', () => huberLoss(x, x, { reduction: 'max' as never }), /reduction must be one of/],
  ])('%s', (_, run, message) => {
    expect(run).toThrow(message);
  });
});
