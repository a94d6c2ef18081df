import { existsSync, readFileSync } from 'node:fs';
import { memory } from '../../lib/tensor/tensor';
import type { Tensor } from '../../lib/tensor/tensor';
import { add, conv2d, expand, matmul, mul, relu, reshape, sum, tensor, zeros } from '../../lib/ops';
import { backward } from '../../lib/autograd/gradients';
import { tidy } from '../../lib/autograd/tidy';
import { crossEntropy, randn } from '../../lib/ops';
import { Conv2d, Diffusion2d, Linear, Module, Sequential } from '../../lib/nn';
import { summary } from '../../lib/train';
import { profile } from '../../lib/train/profile';
import { temporaryFolder } from '../data/files';

const at = temporaryFolder();

describe('profile', () => {
  test('calls, bytes and operations of each op, forward and backward', async () => {
    const x = randn([2, 3, 8, 8], { requiresGrad: true });
    const w = randn([4, 3, 3, 3], { requiresGrad: true });
    const taken = await profile(() =>
      tidy(() => {
        const y = relu(conv2d(x, w, { padding: 1 }));
        backward(sum(y));
        return y.shape;
      }),
    );
    expect(taken.result).toEqual([2, 4, 8, 8]);
    expect(taken.dropped).toBe(0);
    const row = (op: string) => taken.rows.find((r) => r.op === op)!;
    const [field, out, weight] = [2 * 3 * 64, 2 * 4 * 64, 4 * 27];
    expect(row('conv2d')).toMatchObject({
      calls: 1,
      bytes: 4 * (field + weight + out),
      flops: 2 * out * 27,
    });
    expect(row('conv2d_input_vjp')).toMatchObject({ calls: 1, flops: 2 * out * 27 });
    expect(row('conv2d_weight_vjp')).toMatchObject({ calls: 1, flops: 2 * out * 27 });
    expect(row('relu')).toMatchObject({ calls: 1, bytes: 8 * out, flops: out });
    expect(row('relu_vjp').calls).toBe(1);
    expect(taken.rows.reduce((all, { share }) => all + share, 0)).toBeCloseTo(1, 10);
    expect(taken.busyMs).toBeGreaterThan(0);
    expect(taken.busyMs).toBeLessThanOrEqual(taken.wallMs);
    const text = String(taken).split('\n');
    expect(text[0]).toMatch(/^op +calls +ms +share +bytes +GB\/s +flops +GFLOP\/s$/);
    expect(text).toHaveLength(taken.rows.length + 3);
  });

  test('times: in order, one after the other, on the queue and inline', async () => {
    const big = randn([256, 256]);
    const { records } = await profile(async () => {
      for (let i = 0; i < 5; i++) tidy(() => void matmul(big, big));
      await big.data();
      tidy(() => void add(tensor([1]), 1));
    });
    for (const [i, { begin, end }] of records.entries()) {
      expect(end).toBeGreaterThanOrEqual(begin);
      if (i > 0) expect(begin).toBeGreaterThanOrEqual(records[i - 1]!.end);
    }
    expect(records.filter(({ op }) => op === 'matmul').map(({ inlined }) => inlined)).toEqual(
      Array(5).fill(false),
    );
    expect(records.find(({ op }) => op === 'add')!.inlined).toBe(true);
    expect(records.find(({ op }) => op === 'read')!.bytes).toBe(2 * 4 * 256 * 256);
  });

  test('elements that a view repeats count once', async () => {
    const row = zeros([1, 100]);
    const { records } = await profile(() => tidy(() => void add(expand(row, [50, 100]), row)));
    expect(records[0]).toMatchObject({ op: 'add', bytes: 4 * (100 + 100 + 5000) });
    expect(records[0]!.output).toEqual([50, 100]);
  });

  test('the trace opens in Chrome: complete events on named threads', async () => {
    await profile(() => tidy(() => void mul(randn([300, 300]), 2)), { trace: at('trace.json') });
    const trace = JSON.parse(readFileSync(at('trace.json'), 'utf8')) as {
      traceEvents: {
        name: string;
        ph: string;
        ts: number;
        dur: number;
        pid: number;
        tid: number;
        args: object;
      }[];
    };
    const named = trace.traceEvents.filter(({ ph }) => ph === 'M').map(({ tid }) => tid);
    const events = trace.traceEvents.filter(({ ph }) => ph === 'X');
    expect(events.map(({ name }) => name)).toEqual(['randn', 'mul']);
    for (const { ts, dur, tid } of events) {
      expect(ts).toBeGreaterThanOrEqual(0);
      expect(dur).toBeGreaterThan(0);
      expect(named).toContain(tid);
    }
    expect(events[1]!.args).toMatchObject({ output: '[300, 300]', flops: 90000 });
  });

  test('what does not fit is counted; an error passes and ends the profile', async () => {
    const few = await profile(() => tidy(() => void add(add(add(zeros([2]), 1), 1), 1)), {
      capacity: 2,
    });
    expect([few.records.length, few.dropped]).toEqual([2, 2]);
    expect(String(few)).toContain('2 more were not recorded');
    const failing = profile(() => Promise.reject(new Error('mine')), { trace: at('none.json') });
    await expect(failing).rejects.toThrow('mine');
    expect(existsSync(at('none.json'))).toBe(false);
    await expect(profile(async () => profile(() => 1))).rejects.toThrow('another profile');
    expect((await profile(() => 3)).result).toBe(3);
    await expect(profile(3 as never)).rejects.toThrow('fn must be a function');
    await expect(profile(() => 1, { capacity: 0 })).rejects.toThrow('capacity');
  });
});

class Block extends Module {
  conv = new Conv2d(3, 4, 3, { padding: 1 });
  diffusion = new Diffusion2d(4, { dt: 0.5 });
  forward(x: Tensor): Tensor {
    return this.diffusion.forward(relu(this.conv.forward(x)));
  }
}

class Network extends Module {
  block = new Block();
  head = new Sequential(new Linear(4 * 30, 7));
  forward(x: Tensor): Tensor {
    const y = this.block.forward(x);
    return this.head.forward(reshape(y, [x.shape[0]!, -1]));
  }
}

describe('summary', () => {
  const [N, H, W] = [2, 5, 6];
  const plane = N * 4 * H * W;

  test('shapes, parameters, operations and bytes of each layer, counted by hand', () => {
    const model = new Network();
    model.train();
    const { tensors } = memory();
    const table = summary(model, [N, 3, H, W]);
    expect(memory().tensors).toBe(tensors);
    expect([...model.modules()].every(({ training }) => training)).toBe(true);
    expect(Object.hasOwn(model, 'forward')).toBe(false);
    const row = (name: string) => table.rows.find((r) => r.name === name)!;
    expect(table.rows.map(({ name, type }) => [name, type])).toEqual([
      ['', 'Network'],
      ['block', 'Block'],
      ['block.conv', 'Conv2d'],
      ['block.diffusion', 'Diffusion2d'],
      ['head', 'Sequential'],
      ['head.0', 'Linear'],
    ]);
    expect(row('block.conv')).toMatchObject({
      outputShape: [N, 4, H, W],
      parameters: 4 * 3 * 9 + 4,
      calls: 1,
    });
    // Two for each multiply-add of the 27 weights; the bias is added in the convolution, or by an add.
    const conv = 2 * plane * 27;
    expect([conv, conv + plane]).toContain(row('block.conv').flops);
    expect(row('block')).toMatchObject({ parameters: 0, flops: plane, bytes: 8 * plane }); // relu
    expect(row('block.diffusion').parameters).toBe(4);
    // Ten for each cell, and a few ops on the four diffusivities.
    expect(Math.abs(row('block.diffusion').flops - 10 * plane)).toBeLessThan(20);
    expect(row('head.0')).toMatchObject({ outputShape: [N, 7], parameters: 120 * 7 + 7 });
    const linear = 2 * N * 7 * 120;
    expect([linear, linear + N * 7]).toContain(row('head.0').flops);
    expect(table.parameters).toBe(112 + 4 + 847);
    expect(table.flops).toBe(table.rows.reduce((all, { flops }) => all + flops, 0));
    expect(String(table)).toContain('block.conv');
    expect(String(table).split('\n').at(-1)).toMatch(/^trainable 963, buffers 0, /);
  });

  test('tensors as input; a module that runs twice; tied weights count once', () => {
    const model = new (class extends Module {
      layer = new Linear(3, 3);
      again = new Linear(3, 3);
      constructor() {
        super();
        Object.assign(this.again, { weight: this.layer.weight });
      }
      forward(x: Tensor, y: Tensor): Tensor {
        return this.again.forward(this.layer.forward(add(this.layer.forward(x), y)));
      }
    })();
    const table = summary(model, [zeros([2, 3]), zeros([2, 3])]);
    const [network, layer, again] = table.rows;
    expect(network).toMatchObject({ flops: 6, outputShape: [2, 3] });
    expect(layer!.calls).toBe(2);
    expect(layer!.flops).toBe(2 * again!.flops);
    expect([layer!.parameters, again!.parameters]).toEqual([12, 3]);
  });

  test('errors pass, and leave the model as it was', () => {
    const model = new Network();
    expect(() => summary(model, [2, 4, 5, 6])).toThrow('conv2d');
    expect(Object.hasOwn(model.block, 'forward')).toBe(false);
    expect(() => summary(model, 'x' as never)).toThrow('shape must be an array');
    expect(() => summary({} as never, [1])).toThrow('model must be a module');
    expect(summary(model, [1, 3, 5, 6]).rows).toHaveLength(6);
  });
});

test('a training step under a profile changes nothing', async () => {
  const model = new Linear(4, 3);
  const step = () =>
    tidy(() => {
      const loss = crossEntropy(
        model.forward(tensor([[1, 2, 3, 4]])),
        tensor([1], { dtype: 'int32' }),
      );
      return loss.item();
    });
  const plain = step();
  expect((await profile(step)).result).toBe(plain);
});
