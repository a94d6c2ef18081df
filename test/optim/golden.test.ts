// Trajectories of optimizers, schedules and clipping against PyTorch's in float64; scripts/golden/optimizers.py.
import { readFileSync } from 'node:fs';
import path from 'node:path';
import type { Tensor } from '../../lib';
import { add, matmul, mul, optim, select, square, sub, sum, tensor, tidy } from '../../lib';

type Flat = (number[] | null)[];
interface Schedule {
  name: string;
  args: unknown[];
  options: object | null;
  rates: number[][];
  momenta?: number[];
}
interface Golden {
  shapes: number[][];
  initial: number[][];
  grads: Flat[];
  optimizers: { kind: 'Adam' | 'AdamW' | 'SGD'; options: object; after: number[][][] }[];
  lbfgs: {
    function: 'rosenbrock' | 'quadratic';
    start: number[];
    options: object;
    after: { loss: number; x: number[]; evaluations: number }[];
  }[];
  schedules: Schedule[];
  metrics: number[];
  plateaus: { options: object; rates: number[][] }[];
  clips: { normType: number | 'inf'; maxNorm: number; norm: number; grads: number[][] }[];
}
const golden = JSON.parse(readFileSync(path.join(__dirname, 'golden.json'), 'utf8')) as Golden;

function expectClose(actual: ArrayLike<number>, expected: ArrayLike<number>, relative: number) {
  expect(actual).toHaveLength(expected.length);
  for (let i = 0; i < expected.length; i++) {
    const limit = relative * Math.max(1, Math.abs(expected[i]!));
    expect(Math.abs(actual[i]! - expected[i]!)).toBeLessThanOrEqual(limit);
  }
}

type Float = 'float64' | 'float32';

function parameters(dtype: Float): Tensor[] {
  return golden.initial.map((values, i) =>
    tensor(Float64Array.from(values), { shape: golden.shapes[i], dtype, requiresGrad: true }),
  );
}

function setGrads(params: readonly Tensor[], grads: Flat): void {
  params.forEach((p, i) => {
    p.grad?.dispose();
    const values = grads[i];
    p.grad = values
      ? tensor(Float64Array.from(values), { shape: p.shape, dtype: p.dtype as Float })
      : null;
  });
}

describe.each<[Float, number]>([
  ['float64', 1e-14],
  ['float32', 2e-6],
])('optimizers in %s', (dtype, tolerance) => {
  test.each(golden.optimizers.map((row) => [row.kind, JSON.stringify(row.options), row] as const))(
    '%s %s',
    (kind, _, { options, after }) => {
      const params = parameters(dtype);
      const groups = [
        { params: params.slice(0, 2) },
        { params: params.slice(2), learningRate: 0.03 },
      ];
      const optimizer = new optim[kind](groups, options);
      golden.grads.forEach((grads, step) => {
        setGrads(params, grads);
        optimizer.step();
        params.forEach((p, i) => expectClose(p.dataSync(), after[step]![i]!, tolerance));
      });
    },
  );
});

const MATRIX = [
  [4, 1, 0],
  [1, 3, -1],
  [0, -1, 2],
];
const FUNCTIONS = {
  rosenbrock: (x: Tensor) => {
    const [a, b] = [select(x, 0, 0), select(x, 0, 1)];
    return add(square(sub(1, a)), mul(square(sub(b, square(a))), 100));
  },
  quadratic: (x: Tensor) => {
    const image = matmul(tensor(MATRIX, { dtype: 'float64' }), x);
    return sub(mul(sum(mul(x, image)), 0.5), sum(mul(x, tensor([1, -2, 3], { dtype: 'float64' }))));
  },
};

describe('LBFGS', () => {
  const rows = golden.lbfgs.map((row) => [row.function, JSON.stringify(row.options), row] as const);
  const make = ({ start, options }: (typeof golden.lbfgs)[number]) => {
    const x = tensor(start, { dtype: 'float64', requiresGrad: true });
    return { x, optimizer: new optim.LBFGS([x], options) };
  };
  const closureOf = (x: Tensor, optimizer: optim.LBFGS, name: keyof typeof FUNCTIONS) => () => {
    optimizer.zeroGrad();
    const loss = FUNCTIONS[name](x);
    loss.backward();
    return loss;
  };

  test.each(rows)('%s %s', (name, _, row) => {
    const { x, optimizer } = make(row);
    for (const { loss, x: expected, evaluations } of row.after) {
      const first = tidy(() => optimizer.step(closureOf(x, optimizer, name)).item());
      expectClose([first], [loss], 1e-9);
      expectClose(x.dataSync(), expected, 1e-10);
      expect(optimizer.stateDict().state[0]!.evaluations).toBe(evaluations);
    }
  });

  test.each(rows.slice(0, 1))('%s asynchronously', async (name, _, row) => {
    const { x, optimizer } = make(row);
    const closure = closureOf(x, optimizer, name);
    for (const { x: expected } of row.after) {
      const loss = await optimizer.step(async () => {
        await new Promise(setImmediate);
        return closure();
      });
      expect(loss.size).toBe(1);
      expectClose(x.dataSync(), expected, 1e-10);
    }
  });

  // A line search ends where the loss no longer changes in its last place: some 1e-9 from a minimum of size 1.
  test.each([
    ['rosenbrock', [-1.5, 2], 'strong-wolfe'],
    ['quadratic', [0, 0, 0], null],
  ] as const)('the minimum of %s to 1e-10', (name, start, lineSearchFn) => {
    const x = tensor([...start], { dtype: 'float64', requiresGrad: true });
    const tolerances = { toleranceGrad: 1e-13, toleranceChange: 0 };
    const optimizer = new optim.LBFGS([x], { lineSearchFn, maxIter: 100, ...tolerances });
    optimizer.step(closureOf(x, optimizer, name));
    if (name === 'rosenbrock') return expectClose(x.dataSync(), [1, 1], 1e-10);
    const matrix = tensor(MATRIX, { dtype: 'float64' });
    expectClose(matmul(matrix, x.detach()).dataSync(), [1, -2, 3], 1e-10);
  });
});

/** The scheduler of a row, as PyTorch's was made. */
function makeScheduler(optimizer: optim.SGD, { name, args, options }: Schedule): optim.Scheduler {
  if (name === 'SequentialLR') {
    const parts = [
      new optim.LinearWarmup(optimizer, { startFactor: 0.1, totalSteps: 4 }),
      new optim.CosineAnnealingLR(optimizer, 6, { etaMin: 0.01 }),
      new optim.ExponentialLR(optimizer, 0.5),
    ];
    return new optim.SequentialLR(optimizer, parts, [4, 9]);
  }
  type Make = new (optimizer: optim.SGD, ...rest: unknown[]) => optim.Scheduler;
  const Scheduler = optim[name as 'StepLR'] as unknown as Make;
  return new Scheduler(optimizer, ...args, ...(options ? [options] : []));
}

function twoGroups(): optim.SGD {
  const param = () => [tensor([0], { requiresGrad: true })];
  return new optim.SGD([{ params: param() }, { params: param(), learningRate: 0.2 }], {
    learningRate: 0.5,
    momentum: 0.9,
  });
}

test.each(
  golden.schedules.map((row) => [`${row.name} ${JSON.stringify(row.options)}`, row] as const),
)('%s', (_, row) => {
  const optimizer = twoGroups();
  const scheduler = makeScheduler(optimizer, row);
  row.rates.forEach((rates, step) => {
    if (step > 0) scheduler.step();
    expectClose(
      optimizer.groups.map((group) => group.learningRate),
      rates,
      1e-14,
    );
    if (row.momenta) expectClose([optimizer.groups[0]!.momentum], [row.momenta[step]!], 1e-14);
  });
});

test.each(golden.plateaus.map((row) => [JSON.stringify(row.options), row] as const))(
  'ReduceLROnPlateau %s',
  (_, { options, rates }) => {
    const optimizer = twoGroups();
    let scheduler = new optim.ReduceLROnPlateau(optimizer, options);
    golden.metrics.forEach((metric, i) => {
      if (i === 7) {
        const state = JSON.parse(JSON.stringify(scheduler.stateDict())) as optim.PlateauState;
        scheduler = new optim.ReduceLROnPlateau(optimizer, options);
        scheduler.loadStateDict(state);
      }
      scheduler.step(metric);
      expectClose(
        optimizer.groups.map((group) => group.learningRate),
        rates[i]!,
        1e-14,
      );
    });
  },
);

test.each(golden.clips.map((row) => [row.normType, row.maxNorm, row] as const))(
  'clipGradNorm of type %s to %d',
  (normType, maxNorm, { norm, grads }) => {
    const params = parameters('float64');
    setGrads(params, golden.grads[0]!);
    const options = { normType: normType === 'inf' ? Infinity : normType };
    expectClose([optim.clipGradNorm(params, maxNorm, options).item()], [norm], 1e-14);
    params.forEach((p, i) => expectClose(p.grad!.dataSync(), grads[i]!, 1e-14));
  },
);
