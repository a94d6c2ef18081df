import type { Tensor } from '../tensor/tensor';

/** What a search asks of whoever drives it: the loss where the parameters are now, or values of tensors. */
export type Ask = { readonly evaluate: true } | { readonly read: readonly Tensor[] };

/** A computation that asks for numbers on its way, so that it may be driven synchronously or not. */
export type Asking<R> = Generator<Ask, R, number[]>;

/** The function along a direction: at distance t its value, the whole gradient, and its slope. */
export interface Point {
  t: number;
  value: number;
  grad: Tensor;
  slope: number;
}

/** Minimiser of the cubic with the values and slopes of two points, held within bounds. */
function cubicMinimum(a: Point, b: Point, low: number, high: number): number {
  const [left, right] = a.t <= b.t ? [a, b] : [b, a];
  const width = right.t - left.t;
  const d1 = left.slope + right.slope - (3 * (left.value - right.value)) / (left.t - right.t);
  const square = d1 * d1 - left.slope * right.slope;
  if (!(square >= 0)) return (low + high) / 2;
  const d2 = Math.sqrt(square);
  const at = right.t - width * ((right.slope + d2 - d1) / (right.slope - left.slope + 2 * d2));
  return Math.min(Math.max(at, low), high);
}

export interface WolfeOptions {
  /** Most steps of the search. */
  maxSteps: number;
  /** The search ends when the interval, times the largest element of the direction, is below it. */
  toleranceChange: number;
  /** Largest element of the direction. */
  directionSize: number;
}

const DECREASE = 1e-4;
const CURVATURE = 0.9;

/** An interval that contains acceptable points, the better end first; one point when it is acceptable. */
type Bracket = [Point, Point] | [Point];

function* bracketing(
  at: (t: number) => Asking<Point>,
  start: Point,
  first: number,
  maxSteps: number,
): Asking<{ bracket: Bracket; steps: number }> {
  let before = start;
  let point = yield* at(first);
  for (let steps = 0; steps < maxSteps; steps++) {
    const tooHigh = point.value > start.value + DECREASE * point.t * start.slope;
    if (tooHigh || (steps > 1 && point.value >= before.value))
      return { bracket: [before, point], steps };
    if (Math.abs(point.slope) <= -CURVATURE * start.slope) return { bracket: [point], steps };
    if (point.slope >= 0) return { bracket: [before, point], steps };
    const [low, high] = [point.t + 0.01 * (point.t - before.t), 10 * point.t];
    const next = cubicMinimum(before, point, low, high);
    before = point;
    point = yield* at(next);
  }
  return { bracket: [start, point], steps: maxSteps };
}

/** A trial point that is too near to an end of the interval twice is moved inwards by a tenth of it. */
function inward(t: number, low: number, high: number, again: boolean): [t: number, near: boolean] {
  const margin = 0.1 * (high - low);
  if (!(Math.min(high - t, t - low) < margin)) return [t, false];
  if (!again && t < high && t > low) return [t, true];
  return [Math.abs(t - high) < Math.abs(t - low) ? high - margin : low + margin, false];
}

/**
 * A step length t with the strong Wolfe conditions
 *
 *     f(t) <= f(0) + 1e-4 t f'(0),   |f'(t)| <= 0.9 |f'(0)|
 *
 * by bracketing and zooming with cubic interpolation: Nocedal and Wright, Numerical Optimization (2006),
 * algorithms 3.5 and 3.6, with the safeguards of PyTorch's L-BFGS. Returns the best point of the last
 * interval and the number of evaluations.
 */
export function* strongWolfe(
  at: (t: number) => Asking<Point>,
  start: Point,
  first: number,
  { maxSteps, toleranceChange, directionSize }: WolfeOptions,
): Asking<{ point: Point; evaluations: number }> {
  const found = yield* bracketing(at, start, first, maxSteps);
  let { steps } = found;
  const evaluations = () => steps + 1;
  if (found.bracket.length === 1) return { point: found.bracket[0], evaluations: evaluations() };
  // Ends of the interval: the one with the smaller value, and the other.
  let [best, other] = found.bracket;
  if (best.value > other.value) [best, other] = [other, best];
  let near = false;
  while (steps < maxSteps) {
    if (Math.abs(other.t - best.t) * directionSize < toleranceChange) break;
    const [low, high] = [Math.min(best.t, other.t), Math.max(best.t, other.t)];
    let t = cubicMinimum(best, other, low, high);
    [t, near] = inward(t, low, high, near);
    const point = yield* at(t);
    steps++;
    const tooHigh = point.value > start.value + DECREASE * t * start.slope;
    if (tooHigh || point.value >= best.value) {
      other = point;
      if (best.value > other.value) [best, other] = [other, best];
      continue;
    }
    if (Math.abs(point.slope) <= -CURVATURE * start.slope) {
      best = point;
      break;
    }
    if (point.slope * (other.t - best.t) >= 0) other = best;
    best = point;
  }
  return { point: best, evaluations: evaluations() };
}
