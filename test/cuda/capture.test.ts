// Captured steps: replays do what the operations do one by one, and training goes on through them.
import {
  type Tensor,
  capture,
  dropout,
  manualSeed,
  memory,
  mseLoss,
  nn,
  optim,
  rand,
  tensor,
  train,
  zeros,
} from '../../lib';
import { describeOnCuda } from './device';

const numbers = (t: Tensor) => Array.from(t.dataSync());

class Net extends nn.Module {
  readonly hidden = new nn.Linear(3, 8);
  readonly norm = new nn.BatchNorm1d(8);
  readonly out = new nn.Linear(8, 2);
  forward(x: Tensor): Tensor {
    const h = this.norm.forward(this.hidden.forward(x)).relu();
    return this.out.forward(dropout(h, { p: 0.3 }));
  }
}

describeOnCuda('capture', () => {
  test("needs a GPU: 'cpu' is refused", () => {
    expect(() => capture((x: Tensor) => x, { device: 'cpu' })).toThrow(
      expect.objectContaining({ code: 'FLUXION_UNSUPPORTED' }),
    );
  });

  test('replays follow their inputs', () => {
    const step = capture((x: Tensor, y: Tensor) => x.mul(2).add(y));
    for (let i = 0; i < 6; i++) {
      const x = tensor([i, 1, 2], { device: i % 2 ? 'cuda' : 'cpu' });
      const y = tensor([10, 20, i]).to('cuda');
      const place = x.to('cuda');
      expect(numbers(step(place, y)[0]!)).toEqual([2 * i + 10, 22, 4 + i]);
      expect(step.recorded).toBe(i >= 2);
    }
    expect(() => step(zeros([4], { device: 'cuda' }), zeros([4], { device: 'cuda' }))).toThrow(
      expect.objectContaining({ code: 'FLUXION_SHAPE_MISMATCH' }),
    );
    step.dispose();
    expect(() => step(zeros([3]), zeros([3]))).toThrow(
      expect.objectContaining({ code: 'FLUXION_DISPOSED' }),
    );
  });

  test('a value that is read in the step is refused, and the device goes on', () => {
    const step = capture((x: Tensor) => x.mul(x.sum().item()), { warmUp: 1 });
    const x = tensor([1, 2], { device: 'cuda' });
    expect(numbers(step(x)[0]!)).toEqual([3, 6]);
    expect(() => step(x)).toThrow(expect.objectContaining({ code: 'FLUXION_UNSUPPORTED' }));
    expect(numbers(x.add(1))).toEqual([2, 3]);
  });

  /** Weights and losses after ten steps with a falling rate. */
  function trained(Optimizer: typeof optim.Adam | typeof optim.SGD, captured: boolean) {
    manualSeed(7);
    const model = new Net().to('cuda');
    const optimizer = new Optimizer(model.parameters(), { learningRate: 0.05 });
    const scheduler = new optim.StepLR(optimizer, 3, { gamma: 0.5 });
    const body = (x: Tensor, y: Tensor) => {
      optimizer.zeroGrad();
      const loss = mseLoss(model.forward(x), y);
      loss.backward();
      optimizer.step();
      return loss;
    };
    const step = captured ? capture(body) : body;
    const losses: number[] = [];
    for (let i = 0; i < 10; i++) {
      const x = rand([16, 3], { seed: 100 + i, device: 'cuda' });
      const y = rand([16, 2], { seed: 200 + i, device: 'cuda' });
      const result = step(x, y);
      losses.push((Array.isArray(result) ? result[0]! : result).item());
      scheduler.step();
    }
    const weights = Object.values(model.stateDict()).map(numbers);
    const state = optimizer.stateDict().state['0']!.step;
    if (captured) (step as ReturnType<typeof capture>).dispose();
    return { losses, weights, state };
  }

  test.each([
    ['Adam', optim.Adam],
    ['SGD', optim.SGD],
  ] as const)(
    '%s, batch norm, dropout and a scheduler: the same bits as step by step',
    (_, Optimizer) => {
      const plain = trained(Optimizer, false);
      const replayed = trained(Optimizer, true);
      expect(replayed).toEqual(plain);
      expect(new Set(plain.losses).size).toBe(10);
    },
  );

  test('memory stays flat over replays and comes back at the end', () => {
    const before = memory('cuda').bytes;
    const step = capture((x: Tensor) => x.mul(2).add(1).sum());
    const x = zeros([1000], { device: 'cuda' });
    for (let i = 0; i < 4; i++) step(x);
    const live = memory('cuda').bytes;
    for (let i = 0; i < 20; i++) step(x);
    expect(memory('cuda').bytes).toBe(live);
    step.dispose();
    x.dispose();
    expect(memory('cuda').bytes).toBe(before);
  });

  test('train.fit: captured and not, the same history', async () => {
    const run = async (captured: boolean) => {
      manualSeed(3);
      const model = new Net().to('cuda');
      const batches = [0, 1, 2].map((i) => [
        rand([i === 2 ? 5 : 8, 3], { seed: i }),
        rand([i === 2 ? 5 : 8, 2], { seed: 50 + i }),
      ]);
      const loader = {
        length: 3,
        async *batches({ from = 0 }: { from?: number }) {
          for (const batch of batches.slice(from)) yield batch.map((t) => t.clone());
        },
      };
      const history = await train.fit(model, loader as never, {
        loss: mseLoss,
        optimizer: new optim.Adam(model.parameters(), { learningRate: 0.01 }),
        epochs: 3,
        maxGradNorm: 0.5,
        metrics: { error: (output, target) => output.sub(target).abs().mean() },
        progress: false,
        capture: captured,
      });
      return { losses: history.losses, weights: Object.values(model.stateDict()).map(numbers) };
    };
    expect(await run(true)).toEqual(await run(false));
  });
});
