// The declarations as an ES module sees them: what must compile, what must not, and which types come out. Compiled by
// `npm run check:package`, never run.
// @ts-expect-error everything has a name: there is no default export
import fluxion from 'fluxion';
import * as everything from 'fluxion';
import {
  type Config,
  type DType,
  type DeviceInfo,
  type ErrorCode,
  FluxionError,
  Tensor,
  config,
  conv2d,
  crossEntropy,
  data,
  devices,
  grad,
  implicitDiffusion2d,
  matmul,
  models,
  nn,
  optim,
  sum,
  tensor,
  tidy,
  train,
  valueAndGrad,
  zeros,
} from 'fluxion';

type Equal<A, B> =
  (<T>() => T extends A ? 1 : 2) extends <T>() => T extends B ? 1 : 2 ? true : false;
declare function same<A, B>(equal: Equal<A, B>): void;

// --- Tensors

const x = zeros([2, 3], { dtype: 'float64', requiresGrad: true });
same<typeof x, Tensor>(true);
same<typeof x.dtype, DType>(true);
same<ReturnType<Tensor['item']>, number>(true);
same<Parameters<typeof matmul>, [a: Tensor, b: Tensor]>(true);
tensor(
  [
    [1, 2],
    [3, 4],
  ],
  { dtype: 'int32' },
);
tensor(new Float32Array(4), { shape: [2, 2] });

// @ts-expect-error a dtype that there is not
zeros([2], { dtype: 'float16' });
// @ts-expect-error an option that there is not
zeros([2], { requireGrad: true });
// @ts-expect-error a shape is a list
zeros(2);
// @ts-expect-error a shape holds numbers
zeros(['2']);
// @ts-expect-error results are read with data(), not as an array
x[0];
// @ts-expect-error the shape is read-only
x.shape = [3, 2];

// --- Operators

implicitDiffusion2d(x, 0.5, { dt: 0.1, boundary: 'neumann' });
sum(x, { dim: [0, 1], keepdim: true });
conv2d(x, x, { padding: 1 });
// @ts-expect-error dt is required
implicitDiffusion2d(x, 0.5, {});
// @ts-expect-error a boundary that there is not
implicitDiffusion2d(x, 0.5, { dt: 0.1, boundary: 'open' });
// @ts-expect-error an argument is missing
matmul(x);

// --- Gradients

const kept: Tensor = tidy(() => x.square());
const derivative = grad((u: Tensor) => u.square().sum());
const both = valueAndGrad((u: Tensor) => u.sum());
void [kept, derivative, both];

// --- Networks, training, data

const model = new models.RDNN({ channels: [4], layersPerBlock: 1, classes: 2 });
const optimizer: optim.Optimizer = new optim.AdamW(model.parameters(), { learningRate: 1e-3 });
const layer: nn.Module = new nn.Conv2d(1, 2, 3);
// @ts-expect-error an option that there is not
new optim.AdamW(model.parameters(), { lr: 1e-3 });
// @ts-expect-error the sizes are required
new nn.Linear();
const loader = new data.DataLoader({ tensors: [x, x] }, { batchSize: 2 });
void train.fit(model, loader, { loss: crossEntropy, optimizer, epochs: 1 });
void layer;

// --- Errors and reports

const code: ErrorCode = new FluxionError('FLUXION_INTERNAL', 'op', 'detail').code;
// @ts-expect-error a code that there is not
new FluxionError('FLUXION_NONE', 'op', 'detail');
same<ReturnType<typeof devices>, DeviceInfo[]>(true);
same<ReturnType<typeof config>, Config>(true);
void code;

// --- One package, whichever way it is named

same<typeof everything.Tensor, typeof Tensor>(true);
void fluxion;
