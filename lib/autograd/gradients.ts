import { FluxionError, requireArgument, show } from '../errors';
import { carriesGradients, isComplex } from '../tensor/dtype';
import { retain, upload } from '../tensor/handle';
import { generatorState, setGeneratorState } from '../tensor/generator';
import { gradEnabled } from '../tensor/scope';
import { Tensor, isTensor } from '../tensor/tensor';
import { toTypedArray } from '../tensor/dtype';
import { accumulate } from './accumulate';
import { propagate, requireDifferentiable } from './propagate';
import { type Edge, Node, alias, attach, edgeTo, nextOrder } from './tape';
import { enableGrad, keep, noGrad, tidy } from './tidy';

export interface BackwardOptions {
  /** Keep the recorded computation, so that backward can run through it again. Default false. */
  retainGraph?: boolean;
}

function onesLike(op: string, tensor: Tensor): Tensor {
  if (isComplex(tensor.dtype)) {
    throw new FluxionError(
      'FLUXION_DTYPE_MISMATCH',
      op,
      `cotangent must be given for a ${tensor.dtype} result; only a real number has the default 1`,
    );
  }
  if (tensor.size !== 1) {
    throw new FluxionError(
      'FLUXION_INVALID_ARGUMENT',
      op,
      `cotangent must be given for a result of shape ${show([...tensor.shape])}; only a single number has the default 1`,
    );
  }
  const one = toTypedArray(tensor.dtype, [1]);
  return new Tensor(upload(one, tensor.dtype, tensor.shape, tensor.live(op).device));
}

function checkCotangent(op: string, root: Tensor, cotangent: Tensor | undefined): Tensor {
  requireDifferentiable(op, root);
  if (!cotangent) return onesLike(op, root);
  const same = cotangent.ndim === root.ndim && cotangent.shape.every((n, i) => n === root.shape[i]);
  if (!same) {
    throw new FluxionError(
      'FLUXION_SHAPE_MISMATCH',
      op,
      `cotangent must have shape ${show([...root.shape])}, got ${show([...cotangent.shape])}`,
    );
  }
  if (cotangent.dtype !== root.dtype) {
    throw new FluxionError(
      'FLUXION_DTYPE_MISMATCH',
      op,
      `cotangent must be ${root.dtype}, got ${cotangent.dtype}`,
    );
  }
  return cotangent;
}

/**
 * Adds d root / d leaf to the `grad` of every leaf with requiresGrad that `root` was computed from.
 * Releases what the recorded operations saved, unless `retainGraph`.
 */
export function backward(root: Tensor, cotangent?: Tensor, options: BackwardOptions = {}): void {
  tidy(() => {
    const g = checkCotangent('backward', root, cotangent);
    const { leaves } = propagate(edgeTo(root), g, {
      retainGraph: options.retainGraph ?? false,
      createGraph: false,
      since: 0,
    });
    noGrad(() => {
      for (const [leaf, value] of leaves) {
        const before = leaf.grad;
        leaf.grad = keep(before ? accumulate(before, value) : alias(value));
        before?.dispose();
      }
    });
  });
}

/** An argument as a fresh start of recording: connected to what is being recorded outside, if anything. */
function track(argument: Tensor): Tensor {
  const tracked = new Tensor(retain(argument.live('grad')));
  if (gradEnabled() && argument.requiresGrad) {
    attach(new Node('argument', [edgeTo(argument)], 1, ([g]) => [g!]), [tracked]);
  } else {
    tracked.requiresGrad = true;
  }
  return tracked;
}

type Arguments = readonly unknown[];
type TensorFunction<A extends Arguments> = (...args: A) => Tensor;

interface Recorded {
  value: Tensor;
  tracked: Tensor[];
  // Kept here because a scope may dispose of the tensors before the pullback is called.
  root: Edge | null;
  origins: (Edge | null)[];
  since: number;
  /** Whether the gradients themselves are to be recorded. */
  nested: boolean;
}

/** Whether a tensor was computed from tensors with requiresGrad other than `own`, before or outside. */
function dependsOnOthers(tensor: Tensor, own: readonly Tensor[], since: number): boolean {
  const seen = new Set<Node>();
  const pending = [edgeTo(tensor)];
  for (let edge = pending.pop(); edge !== undefined; edge = pending.pop()) {
    if (!edge || (edge.node && seen.has(edge.node))) continue;
    if (edge.node ? edge.node.order < since : !own.includes(edge.leaf)) return true;
    if (!edge.node) continue;
    seen.add(edge.node);
    pending.push(...edge.node.edges);
  }
  return false;
}

function record<A extends Arguments>(op: string, fn: TensorFunction<A>, args: A): Recorded {
  const floats = args.filter((a): a is Tensor => isTensor(a) && carriesGradients(a.dtype));
  requireArgument(
    floats.length > 0,
    op,
    'at least one argument must be a floating-point or complex tensor',
  );
  const since = nextOrder();
  const outside = gradEnabled();
  return enableGrad(() => {
    const tracked: Tensor[] = [];
    const given = args.map((a) => {
      if (!isTensor(a) || !carriesGradients(a.dtype)) return a;
      const t = track(a);
      tracked.push(t);
      return t;
    });
    const value = fn(...(given as unknown as A));
    requireArgument(
      isTensor(value),
      op,
      () => `the function must return a tensor, got ${show(value)}`,
    );
    const nested = outside && dependsOnOthers(value, tracked, since);
    const origins = tracked.map(edgeTo);
    return { value, tracked, root: edgeTo(value), origins, since, nested };
  });
}

function pull(
  op: string,
  recorded: Recorded,
  cotangent: Tensor | undefined,
  retainGraph: boolean,
): Tensor[] {
  const g = checkCotangent(op, recorded.value, cotangent);
  const { leaves, targets } = propagate(recorded.root, g, {
    retainGraph,
    createGraph: recorded.nested || (gradEnabled() && g.requiresGrad),
    since: recorded.since,
    targets: recorded.origins,
  });
  return recorded.tracked.map((tracked, i) => {
    const gradient = leaves.get(tracked) ?? targets[i];
    if (gradient) return gradient;
    throw new FluxionError(
      'FLUXION_NOT_DIFFERENTIABLE',
      op,
      `the result does not depend on tensor argument ${i}, or only through operations without a derivative`,
    );
  });
}

/**
 * The function that returns the gradients of `fn` with respect to each of its floating-point and complex
 * tensor arguments, in their order. `fn` must return a real tensor of one element. Can be nested. The
 * gradient in a complex z is dL/d Re z + i dL/d Im z.
 *
 * @example const [dx] = grad((x: Tensor) => x.mul(x).sum())(x);
 */
export function grad<A extends Arguments>(fn: TensorFunction<A>): (...args: A) => Tensor[] {
  return (...args) => tidy(() => valueAndGrad(fn)(...args).grads);
}

/** As {@link grad}, with the value of the function beside the gradients. */
export function valueAndGrad<A extends Arguments>(
  fn: TensorFunction<A>,
): (...args: A) => { value: Tensor; grads: Tensor[] } {
  return (...args) =>
    tidy(() => {
      const recorded = record('grad', fn, args);
      return { value: recorded.value, grads: pull('grad', recorded, undefined, false) };
    });
}

/**
 * Value of a function and its vector-Jacobian product: `pullback(cotangent)` returns the cotangents of the
 * floating-point tensor arguments. It may be called several times; the record goes with the scope or the garbage collector.
 */
export function vjp<A extends Arguments>(
  fn: TensorFunction<A>,
  ...args: A
): { value: Tensor; pullback: (cotangent?: Tensor) => Tensor[] } {
  const recorded = record('vjp', fn, args);
  return {
    value: recorded.value,
    pullback: (cotangent) => tidy(() => pull('vjp', recorded, cotangent, true)),
  };
}

/** What the vjp of a {@link customGrad} function may use. */
export interface CustomGradContext {
  readonly inputs: readonly Tensor[];
  readonly output: Tensor;
}

/**
 * A differentiable function with a gradient of your own: `forward` computes it (nothing in it is
 * recorded), `vjp(cotangent, { inputs, output })` returns the cotangents of its tensor arguments, null
 * where there is none.
 */
export function customGrad<A extends readonly Tensor[]>(
  forward: (...inputs: A) => Tensor,
  vjpRule: (cotangent: Tensor, context: CustomGradContext) => readonly (Tensor | null)[],
): (...inputs: A) => Tensor {
  return (...inputs) => {
    const output = noGrad(() => tidy(() => forward(...inputs)));
    requireArgument(
      isTensor(output),
      'customGrad',
      () => `forward must return a tensor, got ${show(output)}`,
    );
    if (!gradEnabled() || !inputs.some((input) => input.requiresGrad)) return output;
    const own = output.node || inputs.includes(output) ? alias(output) : output;
    own.requiresGrad = false;
    own.node = null;
    const node = new Node('customGrad', inputs.map(edgeTo), 1, ([g], saved) => {
      const grads = vjpRule(g!, { inputs: saved.slice(0, -1), output: saved[saved.length - 1]! });
      requireArgument(
        Array.isArray(grads) && grads.length === inputs.length,
        'customGrad',
        () => `vjp must return ${inputs.length} cotangents, got ${show(grads)}`,
      );
      return grads as (Tensor | null)[];
    });
    attach(node, [own]);
    node.save([...inputs, own]);
    return own;
  };
}

/**
 * A function that keeps none of its intermediate results for backward: it is computed again there. Trades
 * about one forward pass for the memory of the function's inside. Random numbers repeat in the second run.
 */
export function checkpoint<A extends readonly Tensor[]>(
  fn: (...inputs: A) => Tensor,
): (...inputs: A) => Tensor {
  return (...inputs) => {
    if (!gradEnabled()) return fn(...inputs);
    const random = generatorState();
    let differentiable = false;
    const output = tidy(() => {
      const result = fn(...inputs);
      requireArgument(
        isTensor(result),
        'checkpoint',
        () => `the function must return a tensor, got ${show(result)}`,
      );
      differentiable = result.requiresGrad;
      // Another tensor on the same memory: what was recorded inside goes with the scope.
      const outside = new Tensor(retain(result.live('checkpoint')));
      outside.cut = result.cut;
      return outside;
    });
    if (!differentiable) return output;
    const node = new Node('checkpoint', inputs.map(edgeTo), 1, () => inputs.map(() => null));
    node.recompute = ([g]) => {
      const saved = node.restoreSaved() as unknown as A;
      const now = generatorState();
      setGeneratorState(random);
      try {
        const again = enableGrad(() => fn(...saved));
        const edge = edgeTo(again);
        return edge && g ? [{ edge, value: g }] : [];
      } finally {
        setGeneratorState(now);
      }
    };
    attach(node, [output]);
    node.save(inputs);
    return output;
  };
}
