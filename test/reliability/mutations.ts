// What can be wrong with a call: sizes, dtypes, ranks and layouts of tensors, numbers at the edge of what is allowed
// and far beyond it, values of another type, options that do not exist or are missing.
import fc from 'fast-check';
import { type DType } from '../../lib';
import { sizeOf } from '../cases/case';
import { type Call, TensorArgument } from './recorded-calls';
import { type Content, isInteger, partsOf } from './views';

const DTYPES: DType[] = ['float32', 'float64', 'int32', 'uint8', 'complex64', 'complex128'];
const SIZES = [0, 1, 2, 3, 4, 5, 7, 8, 9, 16, 17, 33];

/** Numbers that an option may be given. */
const NUMBERS = [
  ...[0, -0, 1, -1, 2, 3, 4, 5, 7, 8, 16, -2, -3, 0.5, 1.5, -0.5, 1e-3, 1e-300, 1e300, 1e9],
  ...[NaN, Infinity, -Infinity, 2 ** 32, -(2 ** 32), 2 ** 53, -(2 ** 53), 2 ** 63, 255, 256, 1e-9],
];
const STRINGS = [
  ...['', 'none', 'mean', 'sum', 'periodic', 'neumann', 'dirichlet', 'same', 'relu', 'constructor'],
  ...[
    '__proto__',
    'toString',
    'ij,jk->ik',
    'x'.repeat(100),
    '\\0',
    'ü',
    'auto',
    'float32',
    'reflect',
  ],
];
const OTHERS: unknown[] = [
  ...[undefined, null, true, false, 10n, [], [1], [0, 1], [-1], [1, 2, 3], [NaN], [[1]], ['1'], {}],
  ...[{ length: 2 }, { valueOf: () => 3 }, () => 1, new Date(0), new Float32Array(2), [undefined]],
  ...[Array.from({ length: 9 }, () => 1), [2 ** 32], [1, , 2], Symbol.iterator], // eslint-disable-line no-sparse-arrays
];

/** A value in the place of a valid one. */
const replacements = fc.oneof(
  { weight: 5, arbitrary: fc.constantFrom(...NUMBERS) },
  { weight: 2, arbitrary: fc.constantFrom(...STRINGS) },
  { weight: 2, arbitrary: fc.constantFrom(...OTHERS) },
);

export type Mutation =
  | { kind: 'size'; which: number; to: number }
  | { kind: 'shape'; which: number; at: number; to: number; how: 'size' | 'insert' | 'remove' }
  | { kind: 'dtype'; which: number; to: DType }
  | { kind: 'values'; which: number; to: number }
  | { kind: 'replace'; which: number; to: unknown }
  | { kind: 'remove'; which: number }
  | { kind: 'option'; which: number; name: number; to: unknown };

export const mutations: fc.Arbitrary<Mutation> = fc.oneof(
  {
    weight: 4,
    arbitrary: fc.record({
      kind: fc.constant('size' as const),
      which: fc.nat(30),
      to: fc.constantFrom(...SIZES),
    }),
  },
  {
    weight: 2,
    arbitrary: fc.record({
      kind: fc.constant('shape' as const),
      which: fc.nat(30),
      at: fc.nat(8),
      to: fc.constantFrom(...SIZES),
      how: fc.constantFrom('size' as const, 'insert' as const, 'remove' as const),
    }),
  },
  fc.record({
    kind: fc.constant('dtype' as const),
    which: fc.nat(30),
    to: fc.constantFrom(...DTYPES),
  }),
  fc.record({
    kind: fc.constant('values' as const),
    which: fc.nat(30),
    to: fc.constantFrom(0, -1, 1e30, 1e-30, NaN, Infinity, 2 ** 31 - 1, -(2 ** 31)),
  }),
  {
    weight: 4,
    arbitrary: fc.record({
      kind: fc.constant('replace' as const),
      which: fc.nat(60),
      to: replacements,
    }),
  },
  fc.record({ kind: fc.constant('remove' as const), which: fc.nat(60) }),
  {
    weight: 4,
    arbitrary: fc.record({
      kind: fc.constant('option' as const),
      which: fc.nat(30),
      name: fc.nat(30),
      to: replacements,
    }),
  },
);

/** Values of another shape or dtype: those that there are, over and over. */
function refilled({ data }: Content, shape: readonly number[], dtype: DType): Content {
  const length = sizeOf(shape) * partsOf(dtype);
  const value = (i: number) => {
    const x = data.length > 0 ? data[i % data.length]! : 0.5;
    return isInteger(dtype) ? Math.abs(Math.trunc(x)) : x;
  };
  return { shape, dtype, data: Float64Array.from({ length }, (_, i) => value(i)) };
}

const withContent = (argument: TensorArgument, content: Content) =>
  new TensorArgument(content, argument.requiresGrad);

/** The largest tensor that a mutation may make. */
const MAX_SIZE = 1 << 16;

function reshaped(argument: TensorArgument, shape: number[]): TensorArgument {
  if (sizeOf(shape) > MAX_SIZE) return argument;
  return withContent(argument, refilled(argument.content, shape, argument.content.dtype));
}

function changedTensor(argument: TensorArgument, mutation: Mutation): unknown {
  const { shape, data } = argument.content;
  switch (mutation.kind) {
    case 'dtype':
      return withContent(argument, refilled(argument.content, shape, mutation.to));
    case 'values':
      return withContent(argument, { ...argument.content, data: data.map(() => mutation.to) });
    case 'shape': {
      const at = shape.length > 0 ? mutation.at % shape.length : 0;
      const next = [...shape];
      if (mutation.how === 'insert') next.splice(at, 0, mutation.to);
      else if (mutation.how === 'remove') next.splice(at, 1);
      else if (shape.length > 0) next[at] = mutation.to;
      return reshaped(argument, next);
    }
    default:
      return argument;
  }
}

const isPlain = (value: unknown): value is Record<string, unknown> =>
  typeof value === 'object' && value !== null && Object.getPrototypeOf(value) === Object.prototype;

type Path = (string | number)[];

/** Where a call has values: arguments, entries of lists, options. */
function placesOf(value: unknown, path: Path = []): Path[] {
  const entries: [string | number, unknown][] = Array.isArray(value)
    ? [...value.entries()]
    : isPlain(value)
      ? Object.entries(value)
      : [];
  const inside = entries.flatMap(([key, entry]) => placesOf(entry, [...path, key]));
  return path.length === 0 ? inside : [path, ...inside];
}

function valueAt(value: unknown, path: Path): unknown {
  return path.reduce<unknown>((at, key) => (at as Record<string | number, unknown>)[key], value);
}

function replacedAt(value: unknown, [key, ...rest]: Path, change: (old: unknown) => unknown) {
  const copy = (
    Array.isArray(value) ? [...(value as unknown[])] : { ...(value as object) }
  ) as Record<string | number, unknown>;
  copy[key!] = rest.length > 0 ? replacedAt(copy[key!], rest, change) : change(copy[key!]);
  return copy as unknown;
}

function removedAt(args: unknown[], path: Path): unknown[] {
  if (path.length === 1) return args.filter((_, i) => i !== path[0]);
  return replacedAt(args, path.slice(0, -1), (holder) => {
    const key = path.at(-1)!;
    if (Array.isArray(holder)) return holder.filter((_, i) => i !== key);
    return Object.fromEntries(Object.entries(holder as object).filter(([name]) => name !== key));
  }) as unknown[];
}

/** All tensors of the call that have some size get another one in its place: most calls stay valid. */
function resized(args: unknown[], which: number, to: number): unknown[] {
  const tensors = placesOf(args).filter((path) => valueAt(args, path) instanceof TensorArgument);
  const shapeAt = (path: Path) => (valueAt(args, path) as TensorArgument).content.shape;
  const sizes = [...new Set(tensors.flatMap((path) => [...shapeAt(path)]))];
  if (sizes.length === 0) return args;
  const from = sizes[which % sizes.length]!;
  return tensors.reduce((changed, path) => {
    const shape = shapeAt(path).map((n) => (n === from ? to : n));
    return replacedAt(changed, path, (old) => reshaped(old as TensorArgument, shape)) as unknown[];
  }, args);
}

function pick<T>(list: readonly T[], which: number): T | undefined {
  return list.length > 0 ? list[which % list.length] : undefined;
}

/** Applies one mutation; `options` are the names that the function knows. */
function mutated(args: unknown[], mutation: Mutation, options: readonly string[]): unknown[] {
  const places = placesOf(args);
  switch (mutation.kind) {
    case 'size':
      return resized(args, mutation.which, mutation.to);
    case 'replace': {
      const path = pick(places, mutation.which);
      return path ? (replacedAt(args, path, () => mutation.to) as unknown[]) : [mutation.to];
    }
    case 'remove': {
      const path = pick(places, mutation.which);
      return path ? removedAt(args, path) : args;
    }
    case 'option': {
      const name = pick([...options, 'misspelt'], mutation.name)!;
      const last = args.length - 1;
      if (isPlain(args[last]))
        return [...args.slice(0, last), { ...args[last], [name]: mutation.to }];
      return [...args, { [name]: mutation.to }];
    }
    default: {
      const tensors = places.filter((path) => valueAt(args, path) instanceof TensorArgument);
      const path = pick(tensors, mutation.which);
      if (!path) return args;
      return replacedAt(args, path, (old) =>
        changedTensor(old as TensorArgument, mutation),
      ) as unknown[];
    }
  }
}

export function mutatedCall(
  { name, args }: Call,
  changes: readonly Mutation[],
  options: readonly string[],
): Call {
  return { name, args: changes.reduce((at, change) => mutated(at, change, options), args) };
}
