// Wrong arguments are FluxionErrors that name the public function; faults in the data surface at the next read.
import * as fluxion from '../../lib';
import { type FluxionError, type Tensor, gather, indexSelect, tensor } from '../../lib';

const x = tensor([
  [1, 2, 3],
  [4, 5, 6],
]);
const index = (values: number[]) => tensor(values, { dtype: 'int32' });

type Row = [string, () => unknown, string, RegExp?];

const images = fluxion.ones([1, 2, 3, 3]);
const pointwise = fluxion.ones([4, 2, 1, 1]);

const ARGUMENT = 'FLUXION_INVALID_ARGUMENT';
const SHAPE = 'FLUXION_SHAPE_MISMATCH';

const ROWS: Row[] = [
  ['sum', () => x.sum({ dim: 2 }), ARGUMENT, /dim must be an integer in \[-2, 2\), got 2/],
  ['sum', () => x.sum({ dim: 0.5 }), ARGUMENT],
  ['sum', () => x.sum({ dim: [0, -2] }), ARGUMENT, /once/],
  ['sum', () => x.sum({ dims: [0] } as object), ARGUMENT, /there is no option 'dims'/],
  ['sum', () => x.sum(1 as unknown as object), ARGUMENT, /options must be an object/],
  [
    'sum',
    () => x.sum({ keepdim: 1 as unknown as boolean }),
    ARGUMENT,
    /keepdim must be true or false/,
  ],
  ['max', () => fluxion.zeros([0]).max(), ARGUMENT, /must have elements/],
  ['argmin', () => fluxion.zeros([2, 0]).argmin({ dim: 1 }), ARGUMENT],
  ['norm', () => x.norm({ p: NaN }), 'FLUXION_INVALID_ARGUMENT', /p must be a number, got NaN/],
  ['softmax', () => x.softmax(undefined as unknown as number), ARGUMENT],
  ['reshape', () => x.reshape([4, -1]), SHAPE],
  ['reshape', () => x.reshape([-1, -1]), SHAPE],
  ['reshape', () => x.reshape([5]), SHAPE],
  ['permute', () => x.permute([0, 0]), ARGUMENT, /permutation/],
  ['permute', () => x.permute([0]), ARGUMENT],
  ['expand', () => x.expand([3, 3]), SHAPE],
  ['expand', () => x.expand([-1, 2, 3]), SHAPE],
  ['slice', () => x.slice(0, 0, 1, -1), ARGUMENT, /flip/],
  ['slice', () => x.slice(0, NaN), ARGUMENT],
  ['slice', () => tensor(1).slice(0, 0), ARGUMENT, /at least one dimension/],
  ['select', () => x.select(1, 3), ARGUMENT, /index must be an integer in \[-3, 3\), got 3/],
  ['split', () => x.split([1, 1], { dim: 1 }), ARGUMENT, /add up to 3/],
  ['split', () => x.split(0), ARGUMENT],
  ['cat', () => fluxion.cat([]), ARGUMENT],
  ['cat', () => fluxion.cat([x, tensor([[1]])], { dim: 1 }), SHAPE],
  [
    'stack',
    () => fluxion.stack([x, 1 as unknown as Tensor]),
    ARGUMENT,
    /tensors\[1\] must be a tensor/,
  ],
  ['pad', () => x.pad([1]), ARGUMENT],
  ['pad', () => x.pad([-2, -2]), ARGUMENT, /not take away more/],
  ['pad', () => x.pad([3, 0], { mode: 'reflect' }), ARGUMENT, /less than the size of dim 1/],
  ['pad', () => x.pad([0, 4], { mode: 'circular' }), ARGUMENT, /at most the size of dim 1/],
  ['pad', () => x.pad([1, 1], { mode: 'reflect', value: 0 }), ARGUMENT, /mode 'constant' only/],
  ['pad', () => x.pad([1, 1], { mode: 'mirror' as 'reflect' }), ARGUMENT, /must be one of/],
  ['tril', () => tensor([1, 2]).tril(), SHAPE, /at least 2 dimensions/],
  ['triu', () => x.triu({ diagonal: 0.5 }), ARGUMENT],
  ['cumsum', () => x.cumsum(2), ARGUMENT],
  ['scatterAdd', () => x.scatterAdd(0, index([0]), x), SHAPE],
  [
    'scatterAdd',
    () => x.scatterAdd(0, tensor([[0]], { dtype: 'int32' }), tensor([[1]], { dtype: 'int32' })),
    'FLUXION_DTYPE_MISMATCH',
  ],
  ['embedding', () => fluxion.embedding(index([0]), tensor([1])), SHAPE],
  ['embedding', () => fluxion.embedding(index([0]), x, { paddingIdx: 2 }), ARGUMENT],
  ['flip', () => x.flip([0, -2]), ARGUMENT, /once/],
  [
    'indexSelect',
    () => indexSelect(x, 0, tensor([0])),
    'FLUXION_DTYPE_MISMATCH',
    /index must be int32/,
  ],
  ['gather', () => gather(x, 0, index([0])), SHAPE],
  ['repeat', () => x.repeat([2]), SHAPE],
  ['roll', () => x.roll([1, 2]), ARGUMENT],
  ['to', () => x.to('float16' as 'float32'), ARGUMENT],
  ['conv2d', () => images.conv2d(pointwise, { residual: images }), SHAPE, /residual/],
  [
    'conv2d',
    () => images.conv2d(pointwise, { bias: tensor([1], { dtype: 'float64' }) }),
    'FLUXION_DTYPE_MISMATCH',
    /bias/,
  ],
  [
    'conv2d',
    () => images.conv2d(pointwise, { activation: 'softplus' as 'relu' }),
    ARGUMENT,
    /activation/,
  ],
  ['add', () => x.add(tensor([1, 2])), SHAPE, /broadcast/],
  ['add', () => x.add('1' as unknown as number), ARGUMENT],
  ['relu', () => fluxion.relu([1] as unknown as Tensor), ARGUMENT],
  ['clamp', () => x.clamp(), ARGUMENT, /min or max must be given/],
  [
    'div',
    () => (x.div as (...args: unknown[]) => Tensor)(2, { roundingMode: 'floor' }),
    ARGUMENT,
    /no option/,
  ],
  ['add', () => x.add(2, { alpha: '2' as unknown as number }), ARGUMENT, /alpha/],
  ['dropout', () => x.dropout({ p: 2 }), ARGUMENT],
  ['item', () => x.item(), SHAPE],
];

test.each(ROWS)('%s (%#)', (op, fn, code, message = /./) => {
  let error: FluxionError | undefined;
  try {
    fn();
  } catch (caught) {
    error = caught as FluxionError;
  }
  expect(error).toBeInstanceOf(fluxion.FluxionError);
  expect([error!.code, error!.op]).toEqual([code, op]);
  expect(error!.message).toMatch(message);
});

describe('an index out of range', () => {
  const matching = (op: string) => expect.objectContaining({ code: ARGUMENT, op }) as Error;

  test('is reported by the next read, blocking or not', async () => {
    const a = indexSelect(x, 0, index([0, 2]));
    expect(() => a.dataSync()).toThrow(matching('indexSelect'));
    const b = gather(x, 1, tensor([[0], [-1]], { dtype: 'int32' }));
    await expect(b.data()).rejects.toThrow(matching('gather'));
    expect(() => fluxion.embedding(index([2]), x).dataSync()).toThrow(
      'embedding: index must be in [0, 2) in dim 0, got 2',
    );
    const c = x.scatterAdd(1, tensor([[0], [5]], { dtype: 'int32' }), x);
    expect(() => c.dataSync()).toThrow('scatterAdd: index must be in [0, 3) in dim 1, got 5');
  });

  test('leaves the library usable', () => {
    expect(x.sum().item()).toBe(21);
  });
});

test('a tensor of another copy of the library is recognised', () => {
  const foreign = { [Symbol.for('fluxion.tensor')]: {} } as unknown as Tensor;
  expect(() => x.add(foreign)).toThrow();
  expect(() => fluxion.relu(foreign)).toThrow(/another copy of fluxion/);
});
