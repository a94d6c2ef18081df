import { FluxionError, requireArgument, show } from '../errors';
import { assign } from '../tensor/assign';
import { sameShape, sizeOf } from '../tensor/shape';
import { type Tensor, isTensor } from '../tensor/tensor';
import { enableGrad, keep, noGrad, tidy } from '../autograd/tidy';
import { abs, add, mul, neg, sub } from '../ops/elementwise';
import { zeros } from '../ops/creation';
import { max, sum } from '../ops/reduce';
import { cat, reshape, slice } from '../ops/shape';
import { type Asking, type Point, strongWolfe } from './line-search';
import {
  type CommonOptions,
  Optimizer,
  type ParameterGroup,
  type ParameterState,
  type Parameters,
  requireRate,
} from './optimizer';

export interface LBFGSOptions extends CommonOptions {
  /** Step length, with a line search its first trial. Default 1. */
  learningRate: number;
  /** Most iterations of a step. Default 20. */
  maxIter: number;
  /** Most evaluations of the closure in a step. Default null: maxIter 5 / 4, rounded down. */
  maxEval: number | null;
  /** A step ends when no element of the gradient is larger. Default 1e-7. */
  toleranceGrad: number;
  /** A step ends when neither the loss nor any parameter changes by more. Default 1e-9. */
  toleranceChange: number;
  /** Number of pairs remembered. Default 100. */
  historySize: number;
  /** Default null: steps of learningRate. */
  lineSearchFn: 'strong-wolfe' | null;
}

/** Zeroes the gradients, computes the loss, calls its backward and returns it. */
export type Closure<R = Tensor | Promise<Tensor>> = () => R;

/** Where a step has got to, and what it has spent. */
interface Place {
  value: number;
  grad: Tensor;
  evaluations: number;
}

function dot(a: Tensor, b: Tensor): Tensor {
  return sum(mul(a, b));
}

function largest(x: Tensor): Tensor {
  return max(abs(x));
}

/**
 * Limited-memory BFGS; Liu and Nocedal (1989): Newton-like steps with an inverse Hessian built from the last
 * `historySize` pairs of differences of parameters and gradients. PyTorch's iterates.
 *
 *     d = -H g (two-loop recursion),   p += t d,   t from the line search or learningRate
 *
 * One group of parameters of one dtype. Needs memory for 2 historySize copies of the parameters. Projections
 * are applied after a step, not within its iterations. The curvature and the end of the search are decided by
 * numbers, so a step waits for the device some five times an iteration; with an asynchronous closure it does
 * so without blocking the event loop.
 *
 * @example
 * const optimizer = new optim.LBFGS(parameters, { lineSearchFn: 'strong-wolfe' });
 * optimizer.step(() => { optimizer.zeroGrad(); const loss = f(); loss.backward(); return loss; });
 */
export class LBFGS extends Optimizer<LBFGSOptions> {
  constructor(parameters: Parameters<LBFGSOptions>, options?: Partial<LBFGSOptions>) {
    super('LBFGS', parameters, options, {
      learningRate: 1,
      maxIter: 20,
      maxEval: null,
      toleranceGrad: 1e-7,
      toleranceChange: 1e-9,
      historySize: 100,
      lineSearchFn: null,
    });
  }

  override addParameterGroup(group: ParameterGroup<LBFGSOptions>): void {
    requireArgument(this.groups.length === 0, this.op, 'there must be one group of parameters');
    super.addParameterGroup(group);
    const dtypes = new Set(this.parameters().map(({ dtype }) => dtype));
    requireArgument(
      dtypes.size === 1,
      this.op,
      () => `parameters must have one dtype, got ${[...dtypes].join(' and ')}`,
    );
  }

  protected override check(o: LBFGSOptions): void {
    requireRate(this.op, 'learningRate', o.learningRate);
    requireRate(this.op, 'toleranceGrad', o.toleranceGrad);
    requireRate(this.op, 'toleranceChange', o.toleranceChange);
    const counts = { maxIter: o.maxIter, maxEval: o.maxEval ?? 1, historySize: o.historySize };
    for (const [name, value] of Object.entries(counts)) {
      requireArgument(
        Number.isInteger(value) && value > 0,
        this.op,
        () => `${name} must be an integer > 0, got ${show(value)}`,
      );
    }
    requireArgument(
      o.lineSearchFn === null || o.lineSearchFn === 'strong-wolfe',
      this.op,
      () => `lineSearchFn must be null or 'strong-wolfe', got ${show(o.lineSearchFn)}`,
    );
  }

  protected override update(): void {
    throw new FluxionError('FLUXION_INTERNAL', this.op, 'L-BFGS has no update of one gradient');
  }

  /**
   * Up to maxIter iterations. Returns the loss at the beginning; a promise of it when the closure is
   * asynchronous.
   */
  // eslint-disable-next-line @typescript-eslint/no-misused-promises -- of an asynchronous closure only
  override step<R extends Tensor | Promise<Tensor>>(closure?: Closure<R>): R {
    requireArgument(
      typeof closure === 'function',
      this.op,
      () => `step must be given a closure that returns the loss, got ${show(closure)}`,
    );
    this.check(this.groups[0]!);
    return noGrad(() => tidy(() => this.drive(this.minimise(), closure))) as R;
  }

  // --- the driver

  private drive(search: Asking<Tensor>, closure: Closure): Tensor | Promise<Tensor> {
    const evaluate = () => enableGrad(() => tidy(closure));
    for (let answer: number[] = []; ;) {
      const { value, done } = search.next(answer);
      if (done) return value;
      if ('read' in value) {
        answer = value.read.map((tensor) => tensor.item());
        continue;
      }
      const loss = evaluate();
      if (!isTensor(loss)) return this.driveAsync(search, loss, evaluate);
      answer = [this.lossOf(loss).item()];
      this.first ??= loss;
    }
  }

  private async driveAsync(
    search: Asking<Tensor>,
    pending: Promise<Tensor>,
    evaluate: () => Tensor | Promise<Tensor>,
  ): Promise<Tensor> {
    let loss = this.lossOf(await pending);
    this.first ??= loss;
    let answer = [(await loss.data())[0]!];
    for (;;) {
      const { value, done } = search.next(answer);
      if (done) return value;
      if ('read' in value) {
        answer = await Promise.all(value.read.map(async (tensor) => (await tensor.data())[0]!));
      } else {
        loss = this.lossOf(await evaluate());
        answer = [(await loss.data())[0]!];
      }
    }
  }

  /** The loss at the beginning of the step in progress. */
  private first: Tensor | null = null;

  private lossOf(loss: unknown): Tensor {
    requireArgument(
      isTensor(loss) && loss.size === 1,
      this.op,
      () => `the closure must return a loss of one element, got ${show(loss)}`,
    );
    return loss;
  }

  // --- the method

  private *minimise(): Asking<Tensor> {
    const o = this.groups[0]!;
    const entry = this.stateOf(o.params[0]!);
    const maxEval = o.maxEval ?? Math.floor((o.maxIter * 5) / 4);
    this.first = null;
    const [value] = (yield { evaluate: true }) as [number];
    const first = this.first as unknown as Tensor;
    const grad = this.gatherGradient();
    let [size] = (yield { read: [largest(grad)] }) as [number];
    entry.evaluations = ((entry.evaluations as number | undefined) ?? 0) + 1;
    const at: Place = { value, grad, evaluations: 1 };
    for (let n = 1; n <= o.maxIter && size > o.toleranceGrad; n++) {
      const before = at.value;
      const moved = yield* this.iterate(entry, at, maxEval, n === o.maxIter);
      if (n === o.maxIter || at.evaluations >= maxEval) break;
      if (moved <= o.toleranceChange) break;
      [size] = (yield { read: [largest(at.grad)] }) as [number];
      if (Math.abs(at.value - before) < o.toleranceChange) break;
    }
    this.applyProjections();
    return first;
  }

  /** One iteration from a place, which moves on. Returns the largest change of a parameter. */
  private *iterate(
    entry: ParameterState,
    at: Place,
    maxEval: number,
    last: boolean,
  ): Asking<number> {
    const o = this.groups[0]!;
    const direction = yield* this.direction(at.grad, entry, o.historySize);
    const numbers = [dot(at.grad, direction), largest(direction), sum(abs(at.grad))];
    const [slope, directionSize, total] = (yield { read: numbers }) as [number, number, number];
    const first = entry.step === 1 ? Math.min(1, 1 / total) * o.learningRate : o.learningRate;
    remember(entry, { direction, grad: at.grad });
    entry.t = first;
    if (slope > -o.toleranceChange) return 0;
    const move = this.mover(direction);
    let spent = 0;
    if (o.lineSearchFn) {
      const found = yield* strongWolfe(
        (t) => this.evaluateAt(t, move, direction),
        { t: 0, value: at.value, grad: at.grad, slope },
        first,
        { maxSteps: maxEval - at.evaluations, toleranceChange: 1e-9, directionSize },
      );
      entry.t = found.point.t;
      at.value = found.point.value;
      at.grad = found.point.grad;
      spent = found.evaluations;
      move(found.point.t);
    } else {
      move(first);
      if (!last) {
        [at.value] = (yield { evaluate: true }) as [number];
        at.grad = this.gatherGradient();
        spent = 1;
      }
    }
    at.evaluations += spent;
    entry.evaluations = (entry.evaluations as number) + spent;
    return directionSize * Math.abs(entry.t);
  }

  private *evaluateAt(t: number, move: (t: number) => void, direction: Tensor): Asking<Point> {
    move(t);
    const [value] = (yield { evaluate: true }) as [number];
    const grad = this.gatherGradient();
    const [slope] = (yield { read: [dot(grad, direction)] }) as [number];
    return { t, value, grad, slope };
  }

  /** -H g. Takes the pair of the iteration before into the history. */
  private *direction(grad: Tensor, entry: ParameterState, historySize: number): Asking<Tensor> {
    entry.step = (entry.step as number) + 1;
    if (entry.step === 1) return neg(grad);
    const y = sub(grad, entry.grad as Tensor);
    const s = mul(entry.direction as Tensor, entry.t as number);
    const [ys, yy] = (yield { read: [dot(y, s), dot(y, y)] }) as [number, number];
    const history = new History(entry, historySize);
    if (ys > 1e-10) {
      history.push(y, s, 1 / ys);
      entry.scale = ys / yy;
    }
    const weights: Tensor[] = [];
    let q = neg(grad);
    for (let i = history.size - 1; i >= 0; i--) {
      const { y: yi, s: si, ro } = history.at(i);
      weights[i] = mul(dot(si, q), ro);
      q = sub(q, mul(yi, weights[i]!));
    }
    let r = mul(q, (entry.scale as number | undefined) ?? 1);
    for (let i = 0; i < history.size; i++) {
      const { y: yi, s: si, ro } = history.at(i);
      r = add(r, mul(si, sub(weights[i]!, mul(dot(yi, r), ro))));
    }
    return r;
  }

  /** All gradients in one vector, zeros where there is none. */
  private gatherGradient(): Tensor {
    const parts = this.parameters().map(({ grad, size, dtype, device }) =>
      grad ? reshape(grad, [size]) : zeros([size], { dtype, device }),
    );
    return cat(parts);
  }

  /** A function that puts the parameters at p + t d, p where they are now. */
  private mover(direction: Tensor): (t: number) => void {
    let offset = 0;
    const lines = this.parameters().map((parameter) => {
      const part = slice(direction, 0, offset, (offset += parameter.size));
      // A view: it keeps the present contents when the parameter moves.
      const origin = reshape(parameter, parameter.shape);
      return { parameter, origin, part: reshape(part, parameter.shape) };
    });
    return (t) => {
      for (const { parameter, origin, part } of lines) assign(parameter, add(origin, mul(part, t)));
    };
  }

  protected override checkState(
    parameter: Tensor | undefined,
    i: string,
    entry: ParameterState,
  ): void {
    const [first] = this.parameters() as [Tensor];
    const shape = [this.parameters().reduce((n, p) => n + sizeOf(p.shape), 0)];
    const fits = (value: unknown) =>
      typeof value === 'number' ||
      (isTensor(value) && value.dtype === first.dtype && sameShape(value.shape, shape));
    if (parameter === first && Object.values(entry).every(fits)) return;
    throw new FluxionError(
      'FLUXION_SHAPE_MISMATCH',
      this.op,
      `state must have ${first.dtype} vectors of ${shape[0]} elements at position 0, got another at ${i}`,
    );
  }
}

/** Takes tensors into the state, in the place of those there, out of all scopes. */
function remember(entry: ParameterState, tensors: Record<string, Tensor>): void {
  for (const [name, tensor] of Object.entries(tensors)) {
    if (entry[name] === tensor) continue;
    if (isTensor(entry[name])) entry[name].dispose();
    entry[name] = keep(tensor);
  }
}

/** The pairs (y, s), the oldest first, in a ring of entries of the state. */
class History {
  constructor(
    private readonly entry: ParameterState,
    private readonly capacity: number,
  ) {
    entry.size ??= 0;
    entry.oldest ??= 0;
  }

  get size(): number {
    return this.entry.size as number;
  }

  private slot(i: number): number {
    return ((this.entry.oldest as number) + i) % this.capacity;
  }

  push(y: Tensor, s: Tensor, ro: number): void {
    const { entry } = this;
    if (this.size === this.capacity) entry.oldest = this.slot(1);
    else entry.size = this.size + 1;
    const at = this.slot(this.size - 1);
    remember(entry, { [`y${at}`]: y, [`s${at}`]: s });
    entry[`ro${at}`] = ro;
  }

  at(i: number): { y: Tensor; s: Tensor; ro: number } {
    const at = this.slot(i);
    const { [`y${at}`]: y, [`s${at}`]: s, [`ro${at}`]: ro } = this.entry;
    return { y: y as Tensor, s: s as Tensor, ro: ro as number };
  }
}
