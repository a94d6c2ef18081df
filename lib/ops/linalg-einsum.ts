import { FluxionError, requireArgument, show } from '../errors';
import { isFloating, promote } from '../tensor/dtype';
import { sizeOf } from '../tensor/shape';
import type { Tensor } from '../tensor/tensor';
import { reshapeOp, sumOp } from './broadcast';
import { requireTensor } from './define';
import { mul } from './elementwise';
import { matmul } from './linalg-matmul';
import { cast } from './promote';
import { permute, slice } from './shape';

// Sums of products by Einstein's convention, lowered to views, sums and batches of matrix products, two
// operands at a time. A label is a letter, or '.0', '.1', .. for the dimensions of an ellipsis from the back.

/** A tensor with one label for each dimension, no two alike. */
interface Labelled {
  tensor: Tensor;
  labels: string[];
}

function fail(detail: string): never {
  throw new FluxionError('FLUXION_INVALID_ARGUMENT', 'einsum', detail);
}

/** The labels of one term; `dims` of them stand for the ellipsis. */
function labelsOf(term: string, dims: number): string[] {
  const parts = term.split('...');
  if (parts.length > 2 || !/^[A-Za-z]*$/.test(parts.join('')))
    fail(`equation must have letters and one '...' at most in a term, got '${term}'`);
  if (parts.length === 1) return [...term];
  const ellipsis = Array.from({ length: dims }, (_, i) => `.${dims - 1 - i}`);
  return [...parts[0]!, ...ellipsis, ...parts[1]!];
}

const lettersOf = (term: string) => term.replace('...', '').length;

function parse(equation: string, operands: readonly Tensor[]): [string[][], string[]] {
  const sides = equation.replaceAll(' ', '').split('->');
  if (sides.length > 2) fail(`equation must have one '->' at most, got '${equation}'`);
  const terms = sides[0]!.split(',');
  if (terms.length !== operands.length)
    fail(`equation must have a term for each of ${operands.length} operands, got '${equation}'`);
  const ellipses = operands.map(({ ndim }, i) =>
    terms[i]!.includes('...') ? ndim - lettersOf(terms[i]!) : 0,
  );
  const inputs = terms.map((term, i) => {
    const labels = labelsOf(term, Math.max(ellipses[i]!, 0));
    if (labels.length === operands[i]!.ndim) return labels;
    throw new FluxionError(
      'FLUXION_SHAPE_MISMATCH',
      'einsum',
      `operand ${i} must have the dimensions of '${term}', got shape ${show([...operands[i]!.shape])}`,
    );
  });
  const widest = Math.max(0, ...ellipses);
  const all = inputs.flat();
  if (sides.length === 1) {
    const once = [...new Set(all)].filter((l) => !l.startsWith('.'));
    const free = once.filter((l) => all.indexOf(l) === all.lastIndexOf(l)).sort();
    return [inputs, [...labelsOf('...', widest), ...free]];
  }
  const output = labelsOf(sides[1]!, widest);
  output.forEach((label, i) => {
    if (output.indexOf(label) !== i) fail(`output must name '${label}' once, got '${sides[1]}'`);
    if (!all.includes(label)) fail(`output must have labels of the inputs, got '${label}'`);
  });
  return [inputs, output];
}

/** The sizes of all labels; a size of 1 broadcasts. */
function sizesOf(inputs: readonly string[][], operands: readonly Tensor[]): Map<string, number> {
  const sizes = new Map<string, number>();
  inputs.forEach((labels, i) =>
    labels.forEach((label, d) => {
      const n = operands[i]!.shape[d]!;
      const known = sizes.get(label) ?? 1;
      if (n !== known && n !== 1 && known !== 1) {
        throw new FluxionError(
          'FLUXION_SHAPE_MISMATCH',
          'einsum',
          `operands must have one size for '${label}', got ${known} and ${n}`,
        );
      }
      if (known === 1) sizes.set(label, n);
    }),
  );
  return sizes;
}

/** The elements at which two dimensions of one label have equal indices; the label stays once, at the end. */
function diagonal(tensor: Tensor, labels: readonly string[], label: string): Labelled {
  const [a, b] = [labels.indexOf(label), labels.lastIndexOf(label)];
  const n = tensor.shape[a]!;
  if (n !== tensor.shape[b]) {
    throw new FluxionError(
      'FLUXION_SHAPE_MISMATCH',
      'einsum',
      `operand must have equal sizes for '${label}', which it repeats, got ${n} and ${tensor.shape[b]}`,
    );
  }
  const rest = [...labels.keys()].filter((i) => i !== a && i !== b);
  const moved = permute(tensor, [...rest, a, b]);
  const flat = reshapeOp([moved], { shape: [...rest.map((i) => tensor.shape[i]!), n * n] });
  return {
    tensor: slice(flat, rest.length, 0, Infinity, n + 1),
    labels: [...rest.map((i) => labels[i]!), label],
  };
}

/** No label twice, and no dimension of size 1 that others extend. */
function prepared(tensor: Tensor, labels: string[], sizes: ReadonlyMap<string, number>): Labelled {
  let operand: Labelled = { tensor, labels };
  for (;;) {
    const { labels: given } = operand;
    const repeated = given.find((label, i) => given.indexOf(label) !== i);
    if (repeated === undefined) break;
    operand = diagonal(operand.tensor, given, repeated);
  }
  const { tensor: x, labels: own } = operand;
  const kept = [...own.keys()].filter((i) => x.shape[i] === sizes.get(own[i]!));
  if (kept.length === own.length) return operand;
  return {
    tensor: reshapeOp([x], { shape: kept.map((i) => x.shape[i]!) }),
    labels: kept.map((i) => own[i]!),
  };
}

/** Sums over the labels that nobody else needs. */
function summed({ tensor, labels }: Labelled, needed: ReadonlySet<string>): Labelled {
  const dims = [...labels.keys()].filter((i) => !needed.has(labels[i]!));
  if (dims.length === 0) return { tensor, labels };
  return {
    tensor: sumOp([tensor], { dims, keepdim: false }),
    labels: labels.filter((l) => needed.has(l)),
  };
}

/** The operand as an array of as many dimensions as there are groups of labels. */
function grouped({ tensor, labels }: Labelled, ...groups: string[][]): Tensor {
  const order = groups.flat().map((label) => labels.indexOf(label));
  const moved = order.every((d, i) => d === i) ? tensor : permute(tensor, order);
  let at = 0;
  const shape = groups.map((group) => sizeOf(moved.shape.slice(at, (at += group.length))));
  return reshapeOp([moved], { shape });
}

/** The sum over common labels that are not needed of the product of two operands. */
function contract(
  a: Labelled,
  b: Labelled,
  needed: ReadonlySet<string>,
  sizes: ReadonlyMap<string, number>,
): Labelled {
  const common = a.labels.filter((l) => b.labels.includes(l));
  const batch = common.filter((l) => needed.has(l));
  const inner = common.filter((l) => !needed.has(l));
  const rows = a.labels.filter((l) => !common.includes(l));
  const columns = b.labels.filter((l) => !common.includes(l));
  const labels = [...batch, ...rows, ...columns];
  const shape = labels.map((l) => sizes.get(l)!);
  let result: Tensor;
  if (inner.length === 0) {
    result = mul(grouped(a, batch, rows, []), grouped(b, batch, [], columns));
  } else if (!isFloating(a.tensor.dtype)) {
    // Products of matrices are for floating-point numbers; integers and complex numbers are multiplied out.
    const terms = mul(grouped(a, batch, rows, [], inner), grouped(b, batch, [], columns, inner));
    result = sumOp([terms], { dims: [3], keepdim: false });
  } else if (batch.length === 0) {
    result = matmul(grouped(a, rows, inner), grouped(b, inner, columns));
  } else {
    result = matmul(grouped(a, batch, rows, inner), grouped(b, batch, inner, columns));
  }
  return { tensor: reshapeOp([result], { shape }), labels };
}

/** The pair whose product takes the fewest multiplications; the first of equal ones. */
function cheapestPair(operands: readonly Labelled[], sizes: ReadonlyMap<string, number>) {
  let best: [number, number] = [0, 1];
  let least = Infinity;
  for (let i = 0; i < operands.length; i++) {
    for (let j = i + 1; j < operands.length; j++) {
      const union = new Set([...operands[i]!.labels, ...operands[j]!.labels]);
      const cost = [...union].reduce((product, label) => product * sizes.get(label)!, 1);
      if (cost < least) [least, best] = [cost, [i, j]];
    }
  }
  return best;
}

function requireOperands(operands: readonly Tensor[]): void {
  requireArgument(
    Array.isArray(operands) && operands.length > 0,
    'einsum',
    () => `operands must be an array of at least one tensor, got ${show(operands)}`,
  );
  operands.forEach((t, i) => requireTensor('einsum', t, `operands[${i}]`));
}

/**
 * Sum of products of operands, each dimension of which has a letter: 'bij,bjk->bik' is a batch of matrix
 * products. Letters that the result lacks are summed over.
 *
 * - Any number of operands; spaces do not matter. A letter twice in a term takes the diagonal. '...' stands for
 *   further dimensions, which broadcast; a dimension of size 1 broadcasts too.
 * - Without '->' the result has the dimensions of '...', then the letters that occur once, in alphabetical
 *   order (capitals first).
 * - Dtypes promote to the widest. Differentiable, any number of times.
 * - Cost: pairs are contracted as batches of matrix products, the cheapest pair first.
 * - Errors: FLUXION_INVALID_ARGUMENT for an equation that makes no sense or does not have as many terms as there
 *   are operands; FLUXION_SHAPE_MISMATCH for operands that do not fit it.
 */
export function einsum(equation: string, operands: readonly Tensor[]): Tensor {
  requireArgument(
    typeof equation === 'string',
    'einsum',
    () => `equation must be a string, got ${show(equation)}`,
  );
  requireOperands(operands);
  const [inputs, output] = parse(equation, operands);
  const sizes = sizesOf(inputs, operands);
  const dtype = operands.map((t) => t.dtype).reduce(promote);
  let open = operands.map((t, i) => prepared(cast(t, dtype), inputs[i]!, sizes));
  const neededBeside = (...taken: Labelled[]) =>
    new Set([...output, ...open.filter((o) => !taken.includes(o)).flatMap((o) => o.labels)]);
  open.forEach((operand, i) => (open[i] = summed(operand, neededBeside(operand))));
  while (open.length > 1) {
    const [i, j] = cheapestPair(open, sizes);
    const [a, b] = [open[i]!, open[j]!];
    const product = contract(a, b, neededBeside(a, b), sizes);
    open = open.map((o, k) => (k === i ? product : o)).filter((_, k) => k !== j);
    open[i] = summed(product, neededBeside(product));
  }
  const { tensor, labels } = open[0]!;
  const order = output.map((label) => labels.indexOf(label));
  return order.every((d, i) => d === i) ? tensor : permute(tensor, order);
}
