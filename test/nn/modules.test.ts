// Modules: names, state dicts, freezing; layers against the functions that they wrap; errors.
import { type Tensor, avgPool2d, batchNorm, gelu, maxPool2d, nn, optim, tensor } from '../../lib';

const image = (n = 2, c = 4, h = 6, w = 5) =>
  tensor(
    Float64Array.from({ length: n * c * h * w }, (_, i) => Math.sin(i * 1.7)),
    { shape: [n, c, h, w], dtype: 'float32' },
  );
const same = (a: Tensor, b: Tensor) => {
  expect(a.shape).toEqual(b.shape);
  expect([...a.dataSync()]).toEqual([...b.dataSync()]);
};

class Block extends nn.Module {
  readonly conv1 = new nn.Conv2d(4, 4, 3, { padding: 1 });
  readonly norm = new nn.BatchNorm2d(4);
  readonly list = [new nn.Linear(2, 3), new nn.Linear(3, 2)];

  forward(x: Tensor): Tensor {
    return this.norm.forward(this.conv1.forward(x));
  }
}

class Tied extends nn.Module {
  readonly first = new nn.Linear(3, 3, { bias: false });
  readonly second = this.first;

  forward(x: Tensor): Tensor {
    return this.second.forward(this.first.forward(x));
  }
}

describe('names', () => {
  const network = new nn.Sequential(
    new Block(),
    new nn.ReLU(),
    new nn.Sequential(new nn.Linear(2, 2)),
  );

  test('the state has the names of PyTorch', () => {
    expect(Object.keys(network.stateDict())).toEqual([
      '0.conv1.weight',
      '0.conv1.bias',
      '0.norm.weight',
      '0.norm.bias',
      '0.norm.running_mean',
      '0.norm.running_var',
      '0.list.0.weight',
      '0.list.0.bias',
      '0.list.1.weight',
      '0.list.1.bias',
      '2.0.weight',
      '2.0.bias',
    ]);
    expect([...network.namedBuffers()].map(([name]) => name)).toEqual([
      '0.norm.running_mean',
      '0.norm.running_var',
    ]);
  });

  test('modules, children, apply', () => {
    expect([...network.namedModules()].map(([name]) => name)).toEqual([
      '',
      '0',
      '0.conv1',
      '0.norm',
      '0.list.0',
      '0.list.1',
      '1',
      '2',
      '2.0',
    ]);
    expect([...network.children()].map((m) => m.constructor.name)).toEqual([
      'Block',
      'ReLU',
      'Sequential',
    ]);
    const visited: string[] = [];
    expect(network.apply((m) => visited.push(m.constructor.name))).toBe(network);
    expect(visited.at(0)).toBe('Conv2d');
    expect(visited.at(-1)).toBe('Sequential');
    network.apply((m) => {
      if (m instanceof nn.Linear) nn.init.constant(m.weight, 0.5);
    });
    expect(network.stateDict()['2.0.weight']!.dataSync()[0]).toBe(0.5);
  });

  test('tied parameters and modules appear once', () => {
    const tied = new Tied();
    expect(tied.parameters()).toHaveLength(1);
    expect([...tied.namedModules()]).toHaveLength(2);
    expect(tied.parameterCount()).toBe(9);
  });

  test('lists and sequences', () => {
    const list = new nn.ModuleList([new nn.Linear(1, 2)]).append(new nn.Linear(2, 1));
    expect([list.length, list.at(-1)!.weight.shape]).toEqual([2, [1, 2]]);
    expect([...list].map((m) => m.weight.shape)).toEqual([
      [2, 1],
      [1, 2],
    ]);
    expect(() => list.forward()).toThrow(/call the modules/);
    expect(() => new nn.Sequential({} as nn.Layer)).toThrow(/layers\[0\] must be a module/);
  });
});

describe('loadStateDict', () => {
  test('camelCase and snake_case are the same name; counters are passed over', () => {
    const [a, b] = [new nn.BatchNorm2d(2), new nn.BatchNorm2d(2)];
    nn.init.uniform(a.weight!);
    const { running_mean: runningMean, ...rest } = a.stateDict();
    const counter = tensor(3, { dtype: 'int32' });
    b.loadStateDict({ ...rest, runningMean: runningMean!, num_batches_tracked: counter });
    same(b.weight!, a.weight!);
  });

  test('strict: false loads what fits and says what does not', () => {
    const layer = new nn.Linear(2, 2);
    const weight = tensor([
      [1, 2],
      [3, 4],
    ]);
    expect(() => layer.loadStateDict({ weight })).toThrow(/missing \['bias'\]/);
    expect(() => layer.loadStateDict({ ...layer.stateDict(), other: weight })).toThrow(/'other'/);
    expect(layer.loadStateDict({ weight, other: weight }, { strict: false })).toEqual({
      missing: ['bias'],
      unexpected: ['other'],
    });
    same(layer.weight, weight);
    const wrong = { weight: tensor([1]) };
    expect(() => layer.loadStateDict(wrong, { strict: false })).toThrow(/must have shape/);
  });
});

test('a frozen module keeps its parameters and its values', () => {
  const network = new nn.Sequential(new nn.Linear(2, 3), new nn.Linear(3, 1));
  const first = network.at(0) as nn.Linear;
  first.freeze();
  expect(network.parameters()).toHaveLength(4);
  expect([...network.namedBuffers()]).toEqual([]);
  expect(network.parameterCount()).toBe(4);
  const before = [...first.weight.dataSync()];
  const optimizer = new optim.SGD(network.parameters(), { learningRate: 0.1 });
  network
    .forward(tensor([[1, 2]]))
    .sum()
    .backward();
  optimizer.step();
  expect([...first.weight.dataSync()]).toEqual(before);
  expect(first.weight.grad).toBeNull();
  first.unfreeze();
  expect(network.parameterCount()).toBe(13);
});

describe('layers are their functions', () => {
  const x = image();

  test('pooling, activations, identity, flatten', () => {
    same(new nn.MaxPool2d(2).forward(x), maxPool2d(x, 2));
    same(
      new nn.MaxPool2d([3, 2], { stride: [2, 1], padding: [1, 0] }).forward(x),
      maxPool2d(x, [3, 2], { stride: [2, 1], padding: [1, 0] }),
    );
    same(
      new nn.AvgPool2d(3, { padding: 1, countIncludePad: false }).forward(x),
      avgPool2d(x, 3, { padding: 1, countIncludePad: false }),
    );
    same(new nn.AdaptiveAvgPool2d([2, 1]).forward(x), x.adaptiveAvgPool2d([2, 1]));
    same(new nn.GELU().forward(x), gelu(x));
    same(new nn.LeakyReLU({ negativeSlope: 0.3 }).forward(x), x.leakyRelu({ negativeSlope: 0.3 }));
    same(new nn.ELU({ alpha: 0.5 }).forward(x), x.elu({ alpha: 0.5 }));
    same(new nn.Softmax(1).forward(x), x.softmax(1));
    same(new nn.LogSoftmax(-1).forward(x), x.logSoftmax(-1));
    for (const [layer, name] of [
      [new nn.ReLU(), 'relu'],
      [new nn.SiLU(), 'silu'],
      [new nn.Softplus(), 'softplus'],
      [new nn.Tanh(), 'tanh'],
      [new nn.Sigmoid(), 'sigmoid'],
    ] as const) {
      same(layer.forward(x), x[name]());
    }
    expect(new nn.Identity().forward(x)).toBe(x);
    expect(new nn.Flatten().forward(x).shape).toEqual([2, 120]);
    expect(new nn.Flatten({ startDim: 0, endDim: 1 }).forward(x).shape).toEqual([8, 6, 5]);
  });

  test('convolutions: margins of every kind', () => {
    const even = new nn.Conv2d(4, 2, [2, 4], { padding: 'same', dilation: [1, 3] });
    const margin = x.pad([4, 5, 0, 1]);
    same(even.forward(x), margin.conv2d(even.weight, { bias: even.bias, dilation: [1, 3] }));
    for (const paddingMode of ['reflect', 'replicate', 'circular'] as const) {
      const conv = new nn.Conv2d(4, 4, 3, { padding: [2, 1], stride: 2, groups: 2, paddingMode });
      const padded = x.pad([1, 1, 2, 2], { mode: paddingMode });
      same(conv.forward(x), padded.conv2d(conv.weight, { bias: conv.bias, stride: 2, groups: 2 }));
    }
    const valid = new nn.Conv2d(4, 2, 3, { padding: 'valid', bias: false });
    same(valid.forward(x), x.conv2d(valid.weight));
    expect(() => new nn.Conv2d(4, 2, 3, { padding: 'same', stride: 2 })).toThrow(/stride 1/);
    expect(() => new nn.Conv2d(4, 2, 3, { groups: 3 })).toThrow(/groups must divide/);
    expect(() => new nn.Conv2d(4, 2, 3, { stride: [1] as never })).toThrow(/stride must be/);
    expect(() => new nn.Conv2d(4, 2, 3, { paddingMode: 'mirror' as 'zeros' })).toThrow(/mirror/);
    expect(() => new nn.Conv2d(4, 0, 3)).toThrow(/outChannels must be an integer > 0/);
  });

  test('instance norm', () => {
    const plain = new nn.InstanceNorm2d(4);
    expect(Object.keys(plain.stateDict())).toEqual([]);
    same(plain.eval().forward(x), x.instanceNorm());
    const tracking = new nn.InstanceNorm2d(4, { affine: true, trackRunningStats: true });
    expect(Object.keys(tracking.stateDict())).toHaveLength(4);
    tracking.forward(x);
    const { runningMean, runningVar } = tracking;
    same(tracking.eval().forward(x), batchNorm(x, { runningMean, runningVar }));
    const line = x.reshape([2, 4, 30]);
    same(new nn.InstanceNorm1d(4).forward(line), line.instanceNorm());
    expect(new nn.InstanceNorm3d(4).forward(x.unsqueeze(2)).shape).toEqual([2, 4, 1, 6, 5]);
    expect(() => plain.forward(line)).toThrow(/must have 4 dimensions/);
  });

  test('dropout acts in training only', () => {
    const dropout = new nn.Dropout({ p: 0.9 });
    expect(
      dropout
        .forward(x)
        .dataSync()
        .filter((v: number) => v === 0).length,
    ).toBeGreaterThan(150);
    expect(dropout.eval().forward(x)).toBe(x);
    expect(new nn.Dropout().p).toBe(0.5);
    expect(() => new nn.Dropout(2)).toThrow(/\[0, 1\]/);
  });

  test('batch norm without weights and without running statistics', () => {
    const plain = new nn.BatchNorm2d(4, { affine: false, trackRunningStats: false });
    expect(Object.keys(plain.stateDict())).toEqual([]);
    same(plain.eval().forward(x), batchNorm(x, { training: true }));
    const rows = image(3, 4, 1, 1).reshape([3, 4]);
    expect(new nn.BatchNorm1d(4).forward(rows).shape).toEqual([3, 4]);
    expect(new nn.BatchNorm3d(4).forward(x.unsqueeze(2)).shape).toEqual([2, 4, 1, 6, 5]);
    expect(() => new nn.BatchNorm2d(4).forward(rows)).toThrow(/must have 4 dimensions/);
    expect(() => new nn.BatchNorm1d(4).forward(x)).toThrow(/must have 2 or 3 dimensions/);
  });

  test('one group is layer norm, a group for each channel instance norm', () => {
    const group = new nn.GroupNorm(1, 4, { affine: false }).forward(x).dataSync();
    const layer = new nn.LayerNorm([4, 6, 5], { elementwiseAffine: false }).forward(x);
    layer.dataSync().forEach((value: number, i: number) => expect(group[i]).toBeCloseTo(value, 5));
    const each = new nn.GroupNorm(4, 4).forward(x);
    const mean = each.mean({ dim: [2, 3] }).dataSync();
    for (const value of mean) expect(value).toBeCloseTo(0, 6);
    expect(() => new nn.GroupNorm(3, 4)).toThrow(/must divide/);
    expect(() => new nn.GroupNorm(2, 6).forward(x)).toThrow(
      /weight must have shape \[4\], got \[6\]/,
    );
  });

  test('layer norm with a weight alone', () => {
    const norm = new nn.LayerNorm(5, { bias: false });
    expect(Object.keys(norm.stateDict())).toEqual(['weight']);
    expect(norm.forward(x).shape).toEqual(x.shape);
  });

  test('an embedding looks up rows; the padding row stays 0', () => {
    const table = new nn.Embedding(5, 3, { paddingIdx: -1 });
    expect([table.paddingIdx, table.weight.shape]).toEqual([4, [5, 3]]);
    const indices = tensor([4, 0, 4, 2], { dtype: 'int32' });
    const rows = table.forward(indices);
    same(rows, table.weight.indexSelect(0, indices));
    expect([...rows.dataSync().subarray(0, 3)].map(Math.abs)).toEqual([0, 0, 0]);
    rows.sum().backward();
    expect([...table.weight.grad!.dataSync()].map((v) => Math.round(v))).toEqual([
      1, 1, 1, 0, 0, 0, 1, 1, 1, 0, 0, 0, 0, 0, 0,
    ]);
    expect(() => new nn.Embedding(5, 3, { paddingIdx: 5 })).toThrow(/paddingIdx must be/);
  });

  test('losses', () => {
    const target = tensor([1, 3], { dtype: 'int32' });
    const logits = image(2, 4, 1, 1).reshape([2, 4]);
    const loss = new nn.CrossEntropyLoss({ labelSmoothing: 0.1 }).forward(logits, target);
    same(loss, logits.crossEntropy(target, { labelSmoothing: 0.1 }));
    same(
      new nn.MSELoss({ reduction: 'sum' }).forward(x, x.mul(2)),
      x.mseLoss(x.mul(2), { reduction: 'sum' }),
    );
    const logp = logits.logSoftmax(1);
    same(new nn.NLLLoss().forward(logp, target), logp.nllLoss(target));
  });
});
