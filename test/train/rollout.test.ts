// Forecasts that feed on themselves: the window, its order, fields of several channels, memory, refusals.
import { type Tensor, cat, memory, nn, randn, tensor, tidy, train } from '../../lib';

/** Weighs the frames it sees: linear recurrences with known values. */
class Weighted extends nn.Module {
  calls: boolean[] = [];

  constructor(private readonly weights: number[][]) {
    super();
  }

  forward(x: Tensor): Tensor {
    this.calls.push(this.training);
    const matrix = tensor(this.weights.flat(), {
      shape: [this.weights.length, this.weights[0]!.length, 1, 1],
      dtype: x.dtype as 'float64',
    });
    return x.conv2d(matrix);
  }
}

const values = async (x: Tensor) => Array.from(await x.data());
const frames = (numbers: number[]) =>
  tensor(numbers, { shape: [1, numbers.length, 1, 1], dtype: 'float64' });

test('each forecast sees those before it, oldest first', async () => {
  const fibonacci = new Weighted([[1, 1]]);
  const made = train.rollout(fibonacci, frames([1, 1]), 7);
  expect(made.shape).toEqual([1, 7, 1, 1]);
  expect(await values(made)).toEqual([2, 3, 5, 8, 13, 21, 34]);
  const doubled = new Weighted([[2, -1, 0]]);
  expect(await values(train.rollout(doubled, frames([1, 3, 5]), 3))).toEqual([-1, 1, 11]);
});

test('a model that gives several frames moves on by as many', async () => {
  const line = new Weighted([
    [-1, 2],
    [-2, 3],
  ]);
  expect(await values(train.rollout(line, frames([4, 6]), 5))).toEqual([8, 10, 12, 14, 16]);
});

test('fields of several channels', () =>
  tidy(() => {
    const layer = new nn.Conv2d(6, 3, 3, { padding: 1 });
    const history = randn([2, 2, 3, 5, 4], { seed: 1 });
    const made = train.rollout(layer, history, 2);
    expect(made.shape).toEqual([2, 2, 3, 5, 4]);
    const [a, b] = [0, 1].map((t) => history.select(1, t));
    const join = (x: Tensor, y: Tensor) => cat([x, y], { dim: 1 });
    const first = layer.forward(join(a!, b!));
    const second = layer.forward(join(b!, first));
    const [p, q] = [0, 1].map((t) => made.select(1, t));
    expect(p!.sub(first).abs().max().item()).toBeLessThan(1e-6);
    expect(q!.sub(second).abs().max().item()).toBeLessThan(1e-6);
  }));

test('runs in eval mode, without gradients, and keeps nothing but its result', () => {
  const model = new Weighted([[1, 1]]);
  const history = randn([1, 2, 8, 8], { seed: 1 });
  const before = memory().tensors;
  const made = train.rollout(model, history, 20);
  expect(memory().tensors).toBe(before + 1);
  expect(made.requiresGrad).toBe(false);
  expect(model.calls.every((training) => !training)).toBe(true);
  expect(model.training).toBe(true);
  expect(history.disposed).toBe(false);
});

test('refusals', () => {
  const model = new Weighted([[1, 1]]);
  expect(() => train.rollout(model, frames([1, 1]), 0)).toThrow(/steps must be an integer > 0/);
  expect(() => train.rollout(model, tensor([1]), 1)).toThrow(/history must be/);
  const odd = new nn.Conv2d(4, 3, 1);
  expect(() => train.rollout(odd, randn([1, 2, 2, 4, 4]), 1)).toThrow(/whole frames of 2 channels/);
  class Nothing extends nn.Module {
    forward(x: Tensor): Tensor {
      return x.slice(1, 0, 0);
    }
  }
  expect(() => train.rollout(new Nothing(), randn([1, 2, 2, 4, 4]), 1)).toThrow(/whole frames/);
});
