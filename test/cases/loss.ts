import { type Tensor, crossEntropy, mseLoss, nllLoss } from '../../lib';
import { type Case, type Input, type Values, at, build, show, sumOf } from './case';

function lossesOf(logits: Values, target: Values, smoothing: number): Values {
  const classes = logits.shape[1]!;
  return build(target.shape, (index) => {
    const z = Array.from({ length: classes }, (_, c) =>
      at(logits, [index[0]!, c, ...index.slice(1)]),
    );
    const top = Math.max(...z);
    const logSum = top + Math.log(sumOf(z.map((v) => Math.exp(v - top))));
    return logSum - (1 - smoothing) * z[at(target, index)]! - (smoothing / classes) * sumOf(z);
  });
}

const meanOf = (x: Values): Values => ({
  shape: [],
  data: Float64Array.of(sumOf([...x.data]) / x.data.length),
});
const summed = (x: Values): Values => ({ shape: [], data: Float64Array.of(sumOf([...x.data])) });

const LOSS_TOLERANCE = { float32: 2e-5, float64: 1e-12 };

const LOSSES: Case[] = [
  [5, 10],
  [150, 3],
  [2, 7, 9, 17],
  [1, 1, 2],
].flatMap((shape): Case[] => {
  const positions = shape.filter((_, i) => i !== 1);
  const target: Input = { shape: positions, dtype: 'int32', range: [0, shape[1]!] };
  const entropy = { ops: ['cross_entropy', 'cross_entropy_vjp'], tolerance: LOSS_TOLERANCE };
  return [
    {
      ...entropy,
      name: `crossEntropy ${show(shape)}`,
      inputs: [{ shape, range: [-8, 8] }, target],
      run: (logits, labels) => crossEntropy(logits, labels),
      reference: (logits, labels) => meanOf(lossesOf(logits, labels, 0)),
      bench:
        shape[0] === 5
          ? [{ shapes: [[4096, 1000], [4096]], elements: 4096 * 1001, flops: 0 }]
          : undefined,
    },
    {
      ...entropy,
      name: `crossEntropy ${show(shape)} smoothed`,
      inputs: [{ shape }, { ...target, dtype: 'uint8' }],
      run: (logits, labels) =>
        crossEntropy(logits, labels, { reduction: 'none', labelSmoothing: 0.1 }),
      reference: (logits, labels) => lossesOf(logits, labels, 0.1),
    },
    {
      name: `nllLoss ${show(shape)}`,
      ops: [],
      inputs: [{ shape }, target],
      run: (x, labels) => nllLoss(x, labels, { reduction: 'sum' }),
      reference: (x, labels) =>
        summed(build(positions, (i) => -at(x, [i[0]!, at(labels, i), ...i.slice(1)]))),
      tolerance: LOSS_TOLERANCE,
    },
  ];
});

const MSE: Case[] = (['mean', 'sum', 'none'] as const).map((reduction) => ({
  name: `mseLoss ${reduction}`,
  ops: [],
  inputs: [{ shape: [3, 17] }, { shape: [3, 17] }],
  run: (x: Tensor, target: Tensor) => mseLoss(x, target, { reduction }),
  reference: (x, target) => {
    const squares = build(x.shape, (i) => (at(x, i) - at(target, i)) ** 2);
    return reduction === 'mean' ? meanOf(squares) : reduction === 'sum' ? summed(squares) : squares;
  },
  tolerance: LOSS_TOLERANCE,
}));

export const LOSS: Case[] = [...LOSSES, ...MSE];
