import {
  type Tensor,
  bceWithLogits,
  crossEntropy,
  huberLoss,
  l1Loss,
  mseLoss,
  nllLoss,
  smoothL1Loss,
} from '../../lib';
import { type Case, type Input, type Values, at, build, distinct, show, sumOf } from './case';

interface Choices {
  smoothing?: number;
  weight?: Values;
  ignoreIndex?: number;
  /** The input is log probabilities. */
  logs?: boolean;
}

/** Losses of the positions and their weights. */
function weighedLosses(
  logits: Values,
  target: Values,
  { smoothing = 0, weight, ignoreIndex = -100, logs = false }: Choices = {},
): { losses: Values; weights: number[] } {
  const classes = logits.shape[1]!;
  const weights: number[] = [];
  const factor = (c: number) => weight?.data[c] ?? 1;
  const losses = build(target.shape, (index) => {
    const label = at(target, index);
    weights.push(label === ignoreIndex ? 0 : factor(label));
    if (label === ignoreIndex) return 0;
    const z = Array.from({ length: classes }, (_, c) =>
      at(logits, [index[0]!, c, ...index.slice(1)]),
    );
    const top = Math.max(...z);
    const logSum = logs ? 0 : top + Math.log(sumOf(z.map((v) => Math.exp(v - top))));
    const spread = sumOf(z.map((v, c) => factor(c) * (logSum - v)));
    return (1 - smoothing) * factor(label) * (logSum - z[label]!) + (smoothing / classes) * spread;
  });
  return { losses, weights };
}

const lossesOf = (logits: Values, target: Values, smoothing: number): Values =>
  weighedLosses(logits, target, { smoothing }).losses;

function weighedMean(logits: Values, target: Values, choices: Choices): Values {
  const { losses, weights } = weighedLosses(logits, target, choices);
  return { shape: [], data: Float64Array.of(sumOf([...losses.data]) / sumOf(weights)) };
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
  const ignored = shape[1]! > 2 ? 0 : -100;
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
      ...entropy,
      name: `crossEntropy ${show(shape)} weighted, label 1 ignored`,
      inputs: [{ shape }, target, { shape: [shape[1]!], range: [0.2, 2], differentiable: false }],
      run: (logits, labels, weight) =>
        crossEntropy(logits, labels, { weight, ignoreIndex: 1, labelSmoothing: 0.2 }),
      reference: (logits, labels, weight) =>
        weighedMean(logits, labels, { weight, ignoreIndex: 1, smoothing: 0.2 }),
    },
    {
      ...entropy,
      name: `nllLoss ${show(shape)} weighted, label 0 ignored`,
      inputs: [{ shape }, target, { shape: [shape[1]!], range: [0.2, 2], differentiable: false }],
      run: (x, labels, weight) => nllLoss(x, labels, { weight, ignoreIndex: ignored }),
      reference: (x, labels, weight) =>
        weighedMean(x, labels, { weight, ignoreIndex: ignored, logs: true }),
    },
    {
      name: `crossEntropy ${show(shape)} with probabilities`,
      ops: ['log_softmax'],
      inputs: [
        { shape },
        { shape, range: [0, 1] },
        { shape: [shape[1]!], range: [0.2, 2], differentiable: false },
      ],
      run: (logits, probabilities, weight) =>
        crossEntropy(logits, probabilities, {
          weight,
          labelSmoothing: 0.1,
          reduction: 'sum',
        }),
      reference: (logits, probabilities, weight) =>
        summed(
          build(positions, (i) => {
            const z = Array.from({ length: shape[1]! }, (_, c) =>
              at(logits, [i[0]!, c, ...i.slice(1)]),
            );
            const logSum = Math.log(sumOf(z.map(Math.exp)));
            const losses = z.map((v, c) => {
              const p = 0.9 * at(probabilities, [i[0]!, c, ...i.slice(1)]) + 0.1 / shape[1]!;
              return p * weight.data[c]! * (logSum - v);
            });
            return sumOf(losses);
          }),
        ),
      tolerance: LOSS_TOLERANCE,
    },
    {
      name: `nllLoss ${show(shape)}`,
      ops: ['nll_loss', 'nll_loss_vjp'],
      inputs: [{ shape }, target],
      run: (x, labels) => nllLoss(x, labels, { reduction: 'sum' }),
      reference: (x, labels) =>
        summed(build(positions, (i) => -at(x, [i[0]!, at(labels, i), ...i.slice(1)]))),
      tolerance: LOSS_TOLERANCE,
    },
  ];
});

const UNBATCHED: Case[] = (['mean', 'none'] as const).map((reduction) => ({
  name: `crossEntropy of one position, ${reduction}`,
  ops: ['cross_entropy', 'cross_entropy_vjp'],
  inputs: [{ shape: [7] }, { shape: [], dtype: 'int32', range: [0, 7] }],
  run: (logits: Tensor, label: Tensor) => crossEntropy(logits, label, { reduction }),
  reference: (logits, label) => ({
    shape: [],
    data: lossesOf({ ...logits, shape: [1, 7] }, { ...label, shape: [1] }, 0).data,
  }),
  tolerance: LOSS_TOLERANCE,
}));

type Pair = (x: Tensor, target: Tensor, options: { reduction: 'mean' | 'sum' | 'none' }) => Tensor;

const PAIRS: [string, Pair, (d: number) => number][] = [
  ['mseLoss', mseLoss, (d) => d * d],
  ['l1Loss', l1Loss, Math.abs],
  [
    'smoothL1Loss',
    (x, t, o) => smoothL1Loss(x, t, { ...o, beta: 0.7 }),
    (d) => (Math.abs(d) < 0.7 ? (d * d) / 1.4 : Math.abs(d) - 0.35),
  ],
  ['smoothL1Loss, beta 0', (x, t, o) => smoothL1Loss(x, t, { ...o, beta: 0 }), Math.abs],
  [
    'huberLoss',
    (x, t, o) => huberLoss(x, t, { ...o, delta: 0.7 }),
    (d) => (Math.abs(d) <= 0.7 ? (d * d) / 2 : 0.7 * (Math.abs(d) - 0.35)),
  ],
];

/** Differences of a target of multiples of 1/4 + 1/16: away from the kinks. */
const PAIRED: Case[] = PAIRS.flatMap(([name, run, f]) =>
  (['mean', 'sum', 'none'] as const).map((reduction) => ({
    name: `${name} ${reduction}`,
    ops: ['element_loss', 'element_loss_vjp'],
    inputs: [
      { shape: [3, 17], generate: (n: number, random: () => number) => distinct(n, random) },
      {
        shape: reduction === 'sum' ? [17] : [3, 17],
        generate: (n: number) => new Float64Array(n).fill(0.0625),
      },
    ],
    run: (x: Tensor, target: Tensor) => run(x, target, { reduction }),
    reference: (x: Values, target: Values) => {
      const losses = build(x.shape, (i) => f(at(x, i) - at(target, i)));
      return reduction === 'mean' ? meanOf(losses) : reduction === 'sum' ? summed(losses) : losses;
    },
    tolerance: LOSS_TOLERANCE,
  })),
);

const BINARY: Case[] = (['mean', 'sum', 'none'] as const).flatMap((reduction): Case[] => {
  const total = (losses: Values) =>
    reduction === 'mean' ? meanOf(losses) : reduction === 'sum' ? summed(losses) : losses;
  const loss = (x: number, t: number, p = 1) => {
    const s = 1 / (1 + Math.exp(-x));
    return -(p * t * Math.log(s) + (1 - t) * Math.log(1 - s));
  };
  const entropy = { ops: ['element_loss', 'element_loss_vjp'], tolerance: LOSS_TOLERANCE };
  const inputs: Input[] = [{ shape: [5, 33] }, { shape: [5, 33], range: [0, 1] }];
  const factors: Input[] = [
    { shape: [5, 1], range: [0.2, 2], differentiable: false },
    { shape: [33], range: [0.2, 2], differentiable: false },
  ];
  return [
    {
      ...entropy,
      name: `bceWithLogits ${reduction}`,
      inputs,
      run: (x, target) => bceWithLogits(x, target, { reduction }),
      reference: (x, target) => total(build(x.shape, (i) => loss(at(x, i), at(target, i)))),
    },
    {
      ...entropy,
      name: `bceWithLogits ${reduction}, weighted`,
      inputs: [...inputs, ...factors],
      run: (x, target, weight, posWeight) =>
        bceWithLogits(x, target, { reduction, weight, posWeight }),
      reference: (x, target, weight, posWeight) =>
        total(
          build(
            x.shape,
            (i) => at(weight, i) * loss(at(x, i), at(target, i), at(posWeight, [i[1]!])),
          ),
        ),
    },
  ];
});

export const LOSS: Case[] = [...LOSSES, ...UNBATCHED, ...PAIRED, ...BINARY];
