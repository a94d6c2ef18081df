// A network trained by PyTorch, its weights loaded into the same network here: logits, loss, gradients and running
// statistics. Generator, seed and version: scripts/golden/parity_model.py.
import path from 'node:path';
import { type Tensor, crossEntropy, data, gelu, noGrad, nn, relu } from '../../lib';

class Residual extends nn.Module {
  readonly conv1: nn.Conv2d;
  readonly bn1: nn.BatchNorm2d;
  readonly conv2: nn.Conv2d;
  readonly norm2: nn.GroupNorm;
  readonly downSample: nn.Conv2d | null;

  constructor(from: number, to: number, stride: number) {
    super();
    this.conv1 = new nn.Conv2d(from, to, 3, { stride, padding: 1, bias: false });
    this.bn1 = new nn.BatchNorm2d(to);
    this.conv2 = new nn.Conv2d(to, to, 3, { padding: 2, dilation: 2, groups: 4 });
    this.norm2 = new nn.GroupNorm(4, to);
    this.downSample = stride === 1 && from === to ? null : new nn.Conv2d(from, to, 1, { stride });
  }

  forward(x: Tensor): Tensor {
    const hidden = relu(this.bn1.forward(this.conv1.forward(x)));
    const y = this.norm2.forward(this.conv2.forward(hidden));
    return gelu(y.add(this.downSample ? this.downSample.forward(x) : x));
  }
}

class Separable extends nn.Module {
  readonly layers: nn.Sequential;

  constructor(channels: number) {
    super();
    this.layers = new nn.Sequential(
      new nn.Conv2d(channels, channels, 5, { padding: 2, groups: channels, bias: false }),
      new nn.Conv2d(channels, channels, 1),
      new nn.BatchNorm2d(channels, { eps: 1e-3, momentum: 0.2 }),
      new nn.SiLU(),
    );
  }

  forward(x: Tensor): Tensor {
    return x.add(this.layers.forward(x));
  }
}

class Network extends nn.Module {
  readonly stem = new nn.Sequential(
    new nn.Conv2d(3, 16, 3, { padding: 1 }),
    new nn.BatchNorm2d(16),
    new nn.ReLU(),
    new nn.MaxPool2d(3, { stride: 2, padding: 1 }),
  );
  readonly blocks = new nn.ModuleList([
    new Residual(16, 16, 1),
    new Residual(16, 24, 2),
    new Separable(24),
  ]);
  readonly head = new nn.Sequential(
    new nn.AdaptiveAvgPool2d(2),
    new nn.Flatten(),
    new nn.LayerNorm(96),
    new nn.Linear(96, 10),
  );

  forward(x: Tensor): Tensor {
    let y = this.stem.forward(x);
    for (const block of this.blocks) y = block.forward(y);
    return this.head.forward(y);
  }
}

const at = (name: string) => path.join(__dirname, `parity-${name}.safetensors`);
let weights: nn.StateDict;
let results: nn.StateDict;

beforeAll(async () => {
  weights = (await data.loadSafetensors(at('model'))).tensors;
  results = (await data.loadSafetensors(at('results'))).tensors;
});

function loaded(dtype: 'float32' | 'float64'): Network {
  const network = new Network().to(dtype);
  expect(network.loadStateDict(weights)).toEqual({ missing: [], unexpected: [] });
  return network;
}

/** Largest difference relative to the largest value; gradients that vanish (biases before a norm) are rounding alone. */
function distance(actual: Tensor, expected: Tensor): number {
  expect(actual.shape).toEqual(expected.shape);
  const [a, e] = [actual, expected].map((t) => Array.from(t.dataSync())) as [number[], number[]];
  const largest = e.reduce((most, value) => Math.max(most, Math.abs(value)), 1e-2);
  return a.reduce((most, value, i) => Math.max(most, Math.abs(value - e[i]!)), 0) / largest;
}

test('the state dict has the names that PyTorch saves, except its counters', () => {
  const names = Object.keys(new Network().stateDict()).map((name) =>
    name.replace('downSample', 'down_sample'),
  );
  const saved = Object.keys(weights).filter((name) => !name.endsWith('num_batches_tracked'));
  expect(Object.keys(weights).length).toBeGreaterThan(saved.length);
  expect(names.sort()).toEqual(saved.sort());
});

describe('in eval mode', () => {
  test('float32: the same logits to 1e-5', () => {
    const logits = noGrad(() => loaded('float32').eval().forward(results.input!));
    expect(distance(logits, results.logits!)).toBeLessThan(1e-5);
    expect(distance(logits, results.logits64!)).toBeLessThan(1e-5);
  });

  test('float64: the same logits to 1e-12', () => {
    const logits = noGrad(() => loaded('float64').eval().forward(results.input!.to('float64')));
    expect(distance(logits, results.logits64!)).toBeLessThan(1e-12);
  });
});

// The file has the gradients in float32, whose rounding is 6e-8.
describe.each([
  ['float32', 1e-5],
  ['float64', 1e-7],
] as const)('a step in training mode, %s', (dtype, tolerance) => {
  test('the same loss, gradients and running statistics', () => {
    const network = loaded(dtype).train();
    const logits = network.forward(results.input!.to(dtype));
    const loss = crossEntropy(logits, results.labels!, { labelSmoothing: 0.1 });
    expect(distance(loss, results.loss!)).toBeLessThan(tolerance);
    loss.backward();
    const pytorch = (name: string) => name.replace('downSample', 'down_sample');
    for (const [name, parameter] of network.namedParameters()) {
      const expected = results[`gradient.${pytorch(name)}`]!;
      expect([name, distance(parameter.grad!, expected) < tolerance]).toEqual([name, true]);
    }
    const buffers = [...network.namedBuffers()];
    expect(buffers).toHaveLength(2 * 4);
    for (const [name, buffer] of buffers) {
      const expected = results[`after.${pytorch(name)}`]!;
      expect([name, distance(buffer, expected) < tolerance]).toEqual([name, true]);
    }
  });
});
