// gridSample against values and gradients of PyTorch, at ordinary positions, ties and kinks; errors.
import { type Tensor, full, gridSample, tensor, tidy, vjp, zeros } from '../../lib';

// torch 2.13, float64: an image of (4 i + j)^2 / 8 at ties, kinks and outside, and the gradient of the sum in the grid.
const POSITIONS = [-0.5, 0.25, 1, 2, 3.5, 1.5, -3, 0, 5.25, -1.75, 0.5, 2.5, 2.3, -4];
type Golden = [
  'bilinear' | 'nearest' | 'bicubic',
  'zeros' | 'border' | 'reflection',
  boolean,
  number[],
  number[],
];
const GOLDEN: Golden[] = [
  [
    'bilinear',
    'zeros',
    false,
    [0.25, 10.125, 5.3125, 0, 0, 4.53125, 0],
    [1, 1.5, 4.75, -15.1875, -21.25, 6.75, 0, 0, 0, 0, 2.125, -13.59375, 0, 0],
  ],
  [
    'bilinear',
    'border',
    false,
    [0.5, 10.125, 10.625, 0, 1.125, 9.0625, 0.6875],
    [0, 3, 4.75, 0, 0, 13.5, 0, 0, 0, 0, 4.25, 0, 1.25, 0],
  ],
  [
    'bilinear',
    'reflection',
    false,
    [0.5, 10.125, 10.625, 0.5, 3.21875, 9.0625, 13.2875],
    [0, 3, 4.75, 0, 0, 13.5, -1.25, 0, -2.25, -5.625, 4.25, 0, 5.25, 0],
  ],
  [
    'nearest',
    'zeros',
    false,
    [0, 10.125, 0, 0, 0, 8, 0],
    [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0],
  ],
  [
    'nearest',
    'border',
    false,
    [0, 10.125, 15.125, 0, 1.125, 8, 0.5],
    [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0],
  ],
  [
    'nearest',
    'reflection',
    false,
    [0, 10.125, 15.125, 0.5, 4.5, 8, 12.5],
    [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0],
  ],
  [
    'bicubic',
    'zeros',
    false,
    [0.09019470215, 10.125, 6.486938477, 0, 0, 5.448242188, 0],
    [
      0.4213256836, 0.3776550293, 6.75, -3.515625, -29.07568359, 9.21862793, 0, 0, 0, 0, 0.41015625,
      -18.14282227, 0, 0,
    ],
  ],
  [
    'bicubic',
    'border',
    false,
    [0.2125244141, 10.125, 11.30175781, 0, 1.125, 9.440429688, 0.71571875],
    [
      -0.1186523438, 0.8723144531, 6.75, 7.875, -0.83203125, 13.91308594, 0, 2.25, 0, 0, 4.06640625,
      -1.801757812, 1.370625, 0,
    ],
  ],
  [
    'bicubic',
    'reflection',
    false,
    [0.1828613281, 10.125, 11.50976562, 0.5, 2.405212402, 10.04101562, 13.49421875],
    [
      0, 0.7602539062, 6.75, 7.875, 0, 14.04492188, -1.5, 4.5, -2.143066406, -7.353149414,
      4.2421875, 0, 5.840625, 9.43790625,
    ],
  ],
  [
    'bilinear',
    'zeros',
    true,
    [0.25, 10.125, 5.3125, 0, 0, 4.53125, 0],
    [0.75, 1, 3.5625, -10.125, -15.9375, 4.5, 0, 0, 0, 0, 1.59375, -9.0625, 0, 0],
  ],
  [
    'bilinear',
    'border',
    true,
    [0.5, 10.125, 10.625, 0, 1.125, 9.0625, 0.6875],
    [0, 2, 3.5625, 0, 0, 9, 0, 0, 0, 0, 3.1875, 0, 0.9375, 0],
  ],
  [
    'bilinear',
    'reflection',
    true,
    [0.6875, 10.125, 9.5625, 1.125, 7.90625, 5.8125, 0.6875],
    [-0.5625, 2.5, 3.5625, 0, -3.1875, 8.5, 0, 0, -2.8125, -6.75, 2.4375, -6.5, 0.9375, 0],
  ],
  [
    'nearest',
    'zeros',
    true,
    [0, 10.125, 0, 0, 0, 8, 0],
    [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0],
  ],
  [
    'nearest',
    'border',
    true,
    [0, 10.125, 15.125, 0, 1.125, 8, 0.5],
    [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0],
  ],
  [
    'nearest',
    'reflection',
    true,
    [0, 10.125, 12.5, 1.125, 10.125, 8, 0.5],
    [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0],
  ],
  [
    'bicubic',
    'zeros',
    true,
    [0.09019470215, 10.125, 6.486938477, 0, 0, 5.448242188, 0],
    [
      0.3159942627, 0.2517700195, 5.0625, -2.34375, -21.8067627, 6.145751953, 0, 0, 0, 0,
      0.3076171875, -12.09521484, 0, 0,
    ],
  ],
  [
    'bicubic',
    'border',
    true,
    [0.2125244141, 10.125, 11.30175781, 0, 1.125, 9.440429688, 0.71571875],
    [
      -0.08898925781, 0.5815429688, 5.0625, 5.25, -0.6240234375, 9.275390625, 0, 1.5, 0, 0,
      3.049804688, -1.201171875, 1.02796875, 0,
    ],
  ],
  [
    'bicubic',
    'reflection',
    true,
    [0.07373046875, 10.125, 11.19140625, 1.125, 8.607727051, 6.29296875, 0.74525],
    [
      -0.2856445312, 0.580078125, 5.0625, 0, -3.97265625, 10.5234375, 0, 0, -4.353881836,
      -5.290283203, 2.98828125, -7.8515625, 1.26, 0,
    ],
  ],
];

test.each(GOLDEN)(
  'gridSample %s %s %s gives the values of PyTorch',
  (mode, padding, aligned, out, slope) => {
    tidy(() => {
      for (const channels of [1, 8]) {
        const u = tensor(
          Float64Array.from({ length: channels * 12 }, (_, i) => (i % 12) ** 2 / 8),
          { shape: [1, channels, 3, 4], dtype: 'float64' },
        );
        const g = POSITIONS.map((p, i) => {
          const n = i % 2 === 0 ? 4 : 3;
          return aligned ? (2 * p) / (n - 1) - 1 : (2 * p + 1) / n - 1;
        });
        const grid = tensor(Float64Array.from(g), { shape: [1, 1, 7, 2], dtype: 'float64' });
        const options = { mode, paddingMode: padding, alignCorners: aligned };
        const { value, pullback } = vjp((x: Tensor) => gridSample(u, x, options), grid);
        const samples = value.dataSync();
        const gradient = pullback(full(value.shape, 1, { dtype: 'float64' }))[0]!.dataSync();
        samples.forEach((v, i) => expect(v).toBeCloseTo(out[i % 7]!, 7));
        gradient.forEach((v, i) => expect(v / channels).toBeCloseTo(slope[i]!, 7));
      }
    });
  },
);

describe('bad input', () => {
  const u = () => zeros([2, 3, 4, 5]);
  const expectError = (run: () => unknown, op: string, code: string, text: string) =>
    tidy(() => {
      expect(run).toThrow(expect.objectContaining({ code: `FLUXION_${code}`, op }) as Error);
      expect(run).toThrow(text);
    });

  test('gridSample', () => {
    const run = (x: Tensor, grid: Tensor, options?: object) => () => gridSample(x, grid, options);
    const grid = () => zeros([2, 6, 7, 2]);
    const op = 'gridSample';
    for (const shape of [
      [1, 6, 7, 2],
      [2, 6, 7, 3],
      [2, 6, 7],
      [2, 2, 6, 7, 3],
    ]) {
      expectError(
        run(u(), zeros(shape)),
        op,
        'SHAPE_MISMATCH',
        'grid must have shape [2, OH, OW, 2]',
      );
    }
    expectError(run(zeros([2, 3, 0, 5]), grid()), op, 'SHAPE_MISMATCH', 'along every spatial axis');
    expectError(run(zeros([2, 3, 4]), grid()), op, 'SHAPE_MISMATCH', '4 or 5 dimensions');
    expectError(run(u(), grid().to('float64')), op, 'DTYPE_MISMATCH', 'grid must be float32');
    expectError(run(u(), grid(), { mode: 'linear' }), op, 'INVALID_ARGUMENT', 'mode');
    expectError(
      run(u(), grid(), { paddingMode: 'reflect' }),
      op,
      'INVALID_ARGUMENT',
      'paddingMode',
    );
    expectError(run(u(), grid(), { align: true }), op, 'INVALID_ARGUMENT', 'align');
    expectError(
      run(zeros([2, 3, 2, 2, 2]), zeros([2, 1, 1, 1, 3]), { mode: 'bicubic' }),
      op,
      'INVALID_ARGUMENT',
      'mode must be bilinear or nearest for 5 dimensions',
    );
  });
});
