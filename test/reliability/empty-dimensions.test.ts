// Sums over nothing are zeros, and written: fresh memory is filled with NaN here.
import * as fluxion from '../../lib';
import { type Tensor, ones, tidy } from '../../lib';
import { native } from '../../lib/native';

beforeAll(() => native.setCheckedMemory(true));
afterAll(() => native.setCheckedMemory(false));

const RUN: Record<string, (x: Tensor, weight: Tensor, bias: Tensor) => Tensor> = {
  groupNorm: (x, weight, bias) => fluxion.groupNorm(x, 2, { weight, bias, eps: 0 }),
  batchNorm: (x, weight, bias) => fluxion.batchNorm(x, { weight, bias, training: true }),
  layerNorm: (x, weight, bias) => fluxion.layerNorm(x, 4, { weight, bias }),
};

test.each([
  ['groupNorm', [3, 4, 0]],
  ['groupNorm', [0, 4, 2]],
  ['batchNorm', [0, 4, 3]],
  ['batchNorm', [2, 4, 0]],
  ['layerNorm', [0, 4]],
])('%s of %j', (name, shape) => {
  tidy(() => {
    const parameters = [ones([4]), ones([4])] as const;
    for (const t of parameters) t.requiresGrad = true;
    const y = RUN[name]!(ones(shape), ...parameters);
    y.backward(fluxion.onesLike(y));
    for (const t of parameters) expect([...t.grad!.dataSync()]).toEqual([0, 0, 0, 0]);
  });
});

test('a batch of nothing leaves running statistics as they are', () => {
  tidy(() => {
    const [runningMean, runningVar] = [ones([4]), ones([4])];
    fluxion.batchNorm(ones([0, 4, 3]), { runningMean, runningVar, training: true });
    for (const t of [runningMean, runningVar]) expect([...t.dataSync()]).toEqual([1, 1, 1, 1]);
    for (const shape of [
      [0, 4, 3],
      [2, 4, 0],
    ])
      expect(() => fluxion.instanceNorm(ones(shape), { runningMean, runningVar })).toThrow(/plane/);
  });
});
