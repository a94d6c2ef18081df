import {
  type Conv2dOptions,
  type ConvTranspose2dOptions,
  FluxionError,
  type Tensor,
  conv1d,
  conv2d,
  conv3d,
  convTranspose1d,
  convTranspose2d,
  convTranspose3d,
  grad,
  randn,
} from '../../lib';
import { expectClose } from '../cases/case';

const values = (shape: number[], seed: number) => randn(shape, { dtype: 'float64', seed });
const dot = (a: Tensor, b: Tensor): number => a.mul(b).sum().item() as number;

describe('convolutions', () => {
  test('a transposed convolution is the adjoint of the convolution', () => {
    const table: [number[], number[], ConvTranspose2dOptions][] = [
      [[2, 4, 9, 13], [6, 2, 3, 4], { stride: [2, 3], padding: [1, 2], groups: 2 }],
      [[1, 3, 16, 17], [5, 3, 3, 3], { dilation: 2, padding: 2 }],
      [[2, 3, 7, 20], [3, 1, 5, 5], { groups: 3, padding: 2, stride: 2 }],
    ];
    for (const [x, kernel, options] of table) {
      const [u, weight] = [values([...x], 1), values([...kernel], 2)];
      const y = conv2d(u, weight, options as Conv2dOptions);
      const g = values([...y.shape], 3);
      // What the floor of the size of y has dropped comes back as output padding.
      const plain = convTranspose2d(g, weight, options);
      const outputPadding = [2, 3].map((i) => u.shape[i]! - plain.shape[i]!) as [number, number];
      const back = convTranspose2d(g, weight, { ...options, outputPadding });
      expectClose([dot(back, u)], [dot(g, y)], 1e-12, 'adjoint');
    }
  });

  test('a line, an image and a volume agree where they are the same', () => {
    const [x, weight] = [values([2, 3, 20], 4), values([4, 3, 5], 5)];
    const options = { stride: 2, padding: 3, dilation: 2 } as const;
    const line = conv1d(x, weight, options);
    const image = conv2d(x.reshape([2, 3, 20, 1]), weight.reshape([4, 3, 5, 1]), {
      stride: [2, 1],
      padding: [3, 0],
      dilation: [2, 1],
    });
    const volume = conv3d(x.reshape([2, 3, 20, 1, 1]), weight.reshape([4, 3, 5, 1, 1]), {
      stride: [2, 1, 1],
      padding: [3, 0, 0],
      dilation: [2, 1, 1],
    });
    expectClose(image.dataSync(), line.dataSync(), 1e-13, 'image');
    expectClose(volume.dataSync(), line.dataSync(), 1e-13, 'volume');
  });

  test('one sample without a batch', () => {
    const run = [
      [conv1d, [3, 8], [2, 3, 3]],
      [conv2d, [3, 8, 5], [2, 3, 3, 3]],
      [conv3d, [3, 4, 8, 5], [2, 3, 2, 3, 3]],
      [convTranspose1d, [3, 8], [3, 2, 3]],
      [convTranspose2d, [3, 8, 5], [3, 2, 3, 3]],
      [convTranspose3d, [3, 4, 8, 5], [3, 2, 2, 3, 3]],
    ] as const;
    for (const [f, x, kernel] of run) {
      const [u, weight] = [values([...x], 6), values([...kernel], 7)];
      const one = f(u, weight);
      const batch = f(u.reshape([1, ...x]), weight);
      expect([1, ...one.shape]).toEqual([...batch.shape]);
      expect(one.dataSync()).toEqual(batch.dataSync());
    }
  });

  test('second derivatives of a quadratic form in the weight', () => {
    // f(w) = |conv(x, w)|^2 / 2 is quadratic: <f''(w) v, v> = |conv(x, v)|^2.
    const x = values([2, 4, 6, 7], 8);
    for (const [kernel, groups] of [
      [[4, 1, 3, 3], 4],
      [[6, 2, 3, 3], 2],
    ] as const) {
      const run = (w: Tensor) => conv2d(x, w, { padding: 1, groups });
      const [w, v] = [values([...kernel], 9), values([...kernel], 10)];
      const energy = (z: Tensor) => run(z).mul(run(z)).sum().mul(0.5);
      const slope = (u: Tensor) => grad(energy)(u)[0]!.mul(v).sum();
      const second = dot(grad(slope)(w)[0]!, v);
      const y = run(v);
      expectClose([second], [dot(y, y)], 1e-11, 'second derivative');
    }
  });

  test('errors name the function and the argument', () => {
    const x1 = values([1, 4, 8], 1);
    const x2 = values([1, 4, 8, 8], 1);
    const w1 = values([4, 4, 3], 2);
    const w2 = values([4, 4, 3, 3], 2);
    const bad: [() => unknown, string, RegExp][] = [
      [() => conv1d(x2, w1), 'conv1d', /x must have 3 dimensions/],
      [() => conv1d(x1, values([4, 3, 3], 1)), 'conv1d', /weight must have shape/],
      [() => conv1d(x1, w1, { stride: 0 }), 'conv1d', /stride must be an integer >= 1/],
      [() => conv1d(x1, values([4, 4, 9], 1)), 'conv1d', /x must not be smaller than the kernel/],
      [
        () => conv2d(x2, w2, { padding: 'same', stride: 2 }),
        'conv2d',
        /'same' must go with stride 1/,
      ],
      [() => conv2d(x2, w2, { padding: 'full' as 'same' }), 'conv2d', /'same' or 'valid'/],
      [() => conv2d(x2, w2, { bias: values([3], 1) }), 'conv2d', /bias must have shape \[4\]/],
      [() => conv3d(x2, w2), 'conv3d', /weight must have shape|x must have/],
      [
        () => convTranspose2d(x2, w2, { outputPadding: 1 }),
        'convTranspose2d',
        /outputPadding must be/,
      ],
      [
        () => convTranspose2d(x2, values([3, 4, 3, 3], 1)),
        'convTranspose2d',
        /weight must have shape/,
      ],
      [() => convTranspose2d(x2, w2, { padding: 5 }), 'convTranspose2d', /at least one element/],
      [() => convTranspose1d(x1, w1, { groups: 3 }), 'convTranspose1d', /divisible by groups = 3/],
    ];
    for (const [run, op, message] of bad) {
      let error: unknown;
      try {
        run();
      } catch (e) {
        error = e;
      }
      expect(error).toBeInstanceOf(FluxionError);
      expect((error as FluxionError).op).toBe(op);
      expect((error as FluxionError).message).toMatch(message);
    }
  });
});
