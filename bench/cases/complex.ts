import { type Tensor, abs, add, mul, tidy, viewAsComplex } from 'fluxion';
import { type Case, TORCH, defineCase, expectSampled, inputSets } from '../case';

const LARGE = { n: 4 * 2 ** 20 };
const SMALL = { n: 1000 };

interface Pointwise {
  name: string;
  /** The second operand: another complex tensor, a real one, or none. */
  other: 'complex' | 'real' | null;
  apply: (z: Tensor, other: Tensor | null) => Tensor;
  /** Number i of the result from those of the operands, pairs one behind the other. */
  reference: (z: ArrayLike<number>, other: ArrayLike<number>, i: number) => number;
  /** Per element. */
  bytes: number;
  flops: number;
}

const POINTWISE: readonly Pointwise[] = [
  {
    name: 'complex-add',
    other: 'complex',
    apply: (z, w) => add(z, w!),
    reference: (z, w, i) => z[i]! + w[i]!,
    bytes: 24,
    flops: 2,
  },
  {
    name: 'complex-mul',
    other: 'complex',
    apply: (z, w) => mul(z, w!),
    reference: (z, w, i) =>
      i % 2 === 0 ? z[i]! * w[i]! - z[i + 1]! * w[i + 1]! : z[i - 1]! * w[i]! + z[i]! * w[i - 1]!,
    bytes: 24,
    flops: 6,
  },
  {
    name: 'complex-mul-real',
    other: 'real',
    apply: (z, x) => mul(z, x!),
    reference: (z, x, i) => z[i]! * x[i >> 1]!,
    bytes: 20,
    flops: 2,
  },
  {
    name: 'complex-abs',
    other: null,
    apply: (z) => abs(z),
    reference: (z, _, i) => Math.hypot(z[2 * i]!, z[2 * i + 1]!),
    bytes: 12,
    flops: 4,
  },
];

function pointwise({ name, other, apply, reference, bytes, flops }: Pointwise): Case {
  return defineCase({
    name: `${name}/4m`,
    peer: name,
    peers: TORCH,
    dtype: 'complex64',
    sizes: LARGE,
    small: SMALL,
    floors: ({ n }) => ({ bytes: bytes * n, flops: flops * n }),
    inputBytes: ({ n }) => (other === 'complex' ? 16 : other === 'real' ? 12 : 8) * n,
    setup: ({ n }, sets) => {
      const z = inputSets(sets, [n, 2]).map(viewAsComplex);
      const second = {
        complex: () => inputSets(sets, [n, 2], { seed: 2 }).map(viewAsComplex),
        real: () => inputSets(sets, [n], { seed: 2 }),
        none: () => [],
      }[other ?? 'none']();
      const operand = (set: number) => second[set] ?? null;
      return {
        run: (set) => apply(z[set]!, operand(set)),
        verify: () => {
          const [a, b] = [z[0]!.dataSync(), operand(0)?.dataSync() ?? []];
          const values = tidy(() => apply(z[0]!, operand(0)).dataSync());
          expectSampled(name, values, (i) => reference(a, b, i), 2e-6);
        },
      };
    },
  });
}

export const COMPLEX: readonly Case[] = POINTWISE.map(pointwise);
