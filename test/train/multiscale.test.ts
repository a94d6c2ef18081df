// Multiscale training: the estimate is that of the finest mesh, the counters those of the published schedules.
import {
  type Tensor,
  manualSeed,
  models,
  optim,
  rand,
  randn,
  tensor,
  tidy,
  train,
} from '../../lib';
import { assign } from '../../lib/tensor/assign';

const float64 = { dtype: 'float64' } as const;

/** The parameter of a loss with a different gradient on each mesh: mean of (w x - w^3)^2 over all pixels. */
const weight = () => {
  const w = tensor(0.7, float64);
  w.requiresGrad = true;
  return w;
};
const lossOf =
  (w: Tensor): train.LevelLoss =>
  ([x]) =>
    x!.mul(w).sub(w.pow(3)).pow(2).mean();

const gradientOf = (w: Tensor, loss: Tensor): number => {
  loss.backward();
  const value = w.grad!.item();
  w.grad!.dispose();
  w.grad = null;
  return value;
};

test('without levels below it is the plain loss', () =>
  tidy(() => {
    const w = weight();
    const x = randn([5, 2, 8, 8], { ...float64, seed: 1 });
    const estimate = train.multiscaleLoss(lossOf(w), () => [x], { levels: 0, batchSize: 5 });
    expect(estimate.item()).toBe(lossOf(w)([x], 0).item());
  }));

test.each(['nearest', 'mean'] as const)(
  'the mean gradient over many draws is that of the finest mesh (%s)',
  (restriction) => {
    const w = weight();
    manualSeed(11);
    // Smooth fields with noise: the losses of two meshes differ.
    const ramp = tensor(
      Float64Array.from({ length: 64 }, (_, i) => Math.sin(i / 9)),
      { shape: [1, 1, 8, 8] },
    );
    const sample = (n: number) => [randn([n, 1, 8, 8], float64).mul(0.5).add(ramp)];
    const draws = 600;
    const gradients = Array.from({ length: draws }, () =>
      tidy(() => {
        const options = { levels: 2, batchSize: 2, restriction };
        return gradientOf(w, train.multiscaleLoss(lossOf(w), sample, options));
      }),
    );
    const mean = gradients.reduce((a, b) => a + b, 0) / draws;
    const variance = gradients.reduce((a, b) => a + (b - mean) ** 2, 0) / (draws - 1);
    const fine = tidy(() => gradientOf(w, lossOf(w)(sample(20_000), 0)));
    const error = Math.sqrt(variance / draws);
    expect(error).toBeLessThan(0.1 * Math.abs(fine));
    expect(Math.abs(mean - fine)).toBeLessThan(4 * error);
    // It is not the gradient of a coarser mesh.
    const coarse = tidy(() => {
      const [x] = sample(20_000);
      const once = train.restrict(train.restrict(x!, restriction), restriction);
      return gradientOf(w, lossOf(w)([once], 2));
    });
    if (restriction === 'mean') expect(Math.abs(coarse - fine)).toBeGreaterThan(8 * error);
  },
);

test.each(['mesh-free', '3x3'] as const)(
  'every gradient of a network of %s convolutions is that of the finest mesh on average',
  (convolution) => {
    manualSeed(12);
    const model = new models.MFCNet({ channels: 2, blocks: 1, convolution, time: true });
    model.to('float64');
    const parameters = model.parameters();
    for (const p of parameters)
      assign(
        p,
        randn(p.shape, { ...float64 })
          .mul(0.3)
          .add(p.detach()),
      );
    const sample = (n: number) => {
      const clean = randn([n, 1, 8, 8], float64).cumsum(3).mul(0.3);
      const t = rand([n], float64);
      const weight = t.reshape([n, 1, 1, 1]);
      const noise = randn(clean.shape, float64);
      return [clean.mul(weight).add(noise.mul(weight.mul(-1).add(1))), clean, t];
    };
    const loss: train.LevelLoss = ([x, y, t]) => model.forward(x!, t).sub(y!).pow(2).mean();
    /** Means of the gradients over draws, and their squared standard errors. */
    const estimate = (draws: number, options: train.MultiscaleOptions) => {
      const rows = Array.from({ length: draws }, () =>
        tidy(() => {
          train.multiscaleLoss(loss, sample, options).backward();
          return parameters.flatMap((p) => {
            const values = [...(p.grad!.dataSync() as Float64Array)];
            p.grad!.dispose();
            p.grad = null;
            return values;
          });
        }),
      );
      return rows[0]!.map((_, i) => {
        const mean = rows.reduce((a, row) => a + row[i]!, 0) / draws;
        const squares = rows.reduce((a, row) => a + (row[i]! - mean) ** 2, 0);
        return { mean, error: squares / (draws - 1) / draws };
      });
    };
    const fine = estimate(60, { levels: 0, batchSize: 64 });
    /** Mean squared difference from the fine gradient in units of the standard errors: 1 where both are one. */
    const distance = (other: typeof fine) => {
      const squares = fine
        .map((a, i) => [a, other[i]!] as const)
        .filter(([a]) => a.error > 0)
        .map(([a, b]) => (a.mean - b.mean) ** 2 / (a.error + b.error));
      expect(squares.length).toBeGreaterThan(40);
      return squares.reduce((a, b) => a + b, 0) / squares.length;
    };
    expect(distance(estimate(200, { levels: 2, batchSize: 4 }))).toBeLessThan(2);
    // The gradient of the next mesh is another one, and would be seen.
    expect(distance(estimate(60, { levels: 0, batchSize: 64, finest: 1 }))).toBeGreaterThan(2);
  },
);

test('brackets draw their own samples, pairs share them, other tensors go along', () =>
  tidy(() => {
    const drawn: number[] = [];
    const seen: [number, number, number][] = [];
    const sample = (n: number) => {
      drawn.push(n);
      return [randn([n, 1, 16, 16]), randn([n])];
    };
    const loss: train.LevelLoss = ([x, t], level) => {
      seen.push([x!.shape[0]!, x!.shape[3]!, level]);
      expect(t!.shape).toEqual([x!.shape[0]]);
      return x!.mean();
    };
    train.multiscaleLoss(loss, sample, { levels: 2, batchSize: 3 });
    expect(drawn).toEqual([3, 6, 12]);
    expect(seen).toEqual([
      [3, 16, 0],
      [3, 8, 1],
      [6, 8, 1],
      [6, 4, 2],
      [12, 4, 2],
    ]);
  }));

describe('work units', () => {
  const zero: train.LevelLoss = ([x]) => x!.sum();
  const sample = (n: number) => [randn([n, 1, 16, 16])];

  test('of one estimate', () =>
    tidy(() => {
      const workUnits = new train.WorkUnits();
      train.multiscaleLoss(zero, sample, { levels: 3, batchSize: 16, workUnits });
      expect(workUnits.total).toBe(37);
    }));

  test('of the published schedule', async () => {
    const w = weight();
    const optimizer = new optim.SGD([w], { learningRate: 0 });
    const field = randn([128, 1, 8, 8], float64);
    const { losses, workUnits } = await train.fullMultiscale(
      ([x]) => x!.slice(0, 0, 1).mean().mul(w),
      (n) => [field.slice(0, 0, n)],
      { optimizer, iterations: [2000, 1000, 500, 250], batchSize: 16 },
    );
    expect(losses).toHaveLength(3750);
    expect(workUnits).toBe(28_750);
  });

  test('of its stages', async () => {
    // A hundredth of its steps: 28,750 units in all.
    const model = new models.MFCNet({ channels: 1, blocks: 0 });
    const optimizer = new optim.SGD(model.parameters(), { learningRate: 0 });
    const loss: train.LevelLoss = ([x]) => model.forward(x!).mean();
    const steps: train.MultiscaleStep[] = [];
    const { losses, workUnits } = await train.fullMultiscale(loss, sample, {
      optimizer,
      iterations: [8, 4, 2, 1],
      onStep: (step) => void steps.push(step),
    });
    expect(workUnits).toBe(28_750 / 250);
    expect(losses).toHaveLength(15);
    expect(steps.map(({ stage }) => stage)).toEqual([0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 2, 2, 3]);
    expect(steps.at(-1)!.workUnits).toBe(workUnits);
  });
});

test('full multiscale training lowers the loss on the finest mesh', async () => {
  manualSeed(4);
  const model = new models.MFCNet({ channels: 6, blocks: 1 });
  const optimizer = new optim.Adam(model.parameters(), { learningRate: 1e-2 });
  const target = ([x]: readonly Tensor[]) => x!.mul(0.5);
  const loss: train.LevelLoss = (batch) =>
    model.forward(batch[0]!).sub(target(batch)).pow(2).mean();
  const sample = (n: number) => [randn([n, 1, 16, 16]).add(1)];
  const at = () => tidy(() => loss(sample(32), 0).item());
  const before = at();
  await train.fullMultiscale(loss, sample, { optimizer, iterations: [30, 15, 8], batchSize: 4 });
  expect(at()).toBeLessThan(0.2 * before);
});

test('stops at a signal', async () => {
  const model = new models.MFCNet({ channels: 1, blocks: 0 });
  const optimizer = new optim.SGD(model.parameters(), { learningRate: 0 });
  const controller = new AbortController();
  const { losses } = await train.fullMultiscale(
    ([x]) => model.forward(x!).mean(),
    (n) => [randn([n, 1, 4, 4])],
    {
      optimizer,
      iterations: [5, 5],
      signal: controller.signal,
      onStep: ({ step }) => {
        if (step === 3) controller.abort();
      },
    },
  );
  expect(losses).toHaveLength(3);
});

test('refusals', () =>
  tidy(() => {
    const loss: train.LevelLoss = ([x]) => x!.mean();
    const sample = (n: number) => [randn([n, 1, 6, 6])];
    const run = (options: object) => () =>
      train.multiscaleLoss(loss, sample, { levels: 1, batchSize: 2, ...options });
    expect(run({ levels: -1 })).toThrow(/levels must be an integer >= 0/);
    expect(run({ batchSize: 0 })).toThrow(/batchSize/);
    expect(run({ restriction: 'median' })).toThrow(/restriction must be/);
    expect(run({ levels: 2 })).toThrow(/even H and W, got \[4, 1, 3, 3\]/);
    expect(run({ level: 2 })).toThrow(/level/);
    expect(() =>
      train.multiscaleLoss(loss, () => [randn([3, 1, 4, 4])], { levels: 0, batchSize: 2 }),
    ).toThrow(/2 samples/);
  }));
