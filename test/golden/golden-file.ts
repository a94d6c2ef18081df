// What scripts/golden/dense.py writes: calls of the dense operators with PyTorch's results and gradients.
import { readFileSync } from 'node:fs';
import path from 'node:path';
import { gunzipSync } from 'node:zlib';
import * as fluxion from '../../lib';
import { type DType, Tensor, tensor } from '../../lib';

export type Precision = 'float64' | 'float32';

/** 'NaN', 'Infinity' and '-Infinity' are text. */
type NumberText = number | string;

export interface GoldenTensor {
  shape: number[];
  /** 'float' is the precision of the run. */
  dtype: DType | 'float';
  values: NumberText[];
  /** The gradient in this input; absent where none is taken. */
  gradient?: NumberText[];
  /** The values after the call, of an input that the call changes. */
  after?: NumberText[];
}

type Argument = GoldenTensor | NumberText | boolean | null | Argument[];

export interface GoldenCall {
  /** Name of the public function. */
  op: string;
  args: Argument[];
  options?: Record<string, Argument>;
}

export interface GoldenRecord extends GoldenCall {
  note?: string;
  /** Default both. */
  dtypes?: Precision[];
  /** Whether the results are what larger terms leave: tolerances are relative to 1. */
  cancels?: boolean;
  /** Whether the function returns an array of tensors. */
  list?: boolean;
  outputs: GoldenTensor[];
}

interface GoldenFile {
  seed: number;
  torch: string;
  records: GoldenRecord[];
  /** Calls that PyTorch refuses, with its message. */
  refused: (GoldenCall & { message: string })[];
  /** [op, operand, operand, dtype of the result or 'refused']. */
  promotion: [string, string, string, string][];
}

export function readGolden(): GoldenFile {
  const packed = readFileSync(path.join(__dirname, 'dense.json.gz'));
  return JSON.parse(gunzipSync(packed).toString()) as GoldenFile;
}

export function isGoldenTensor(value: unknown): value is GoldenTensor {
  return typeof value === 'object' && value !== null && 'shape' in value;
}

const NOT_FINITE = ['NaN', 'Infinity', '-Infinity'];

export function numbersOf(values: readonly NumberText[]): number[] {
  return values.map(Number);
}

/** A call as one line: `sum [2, 3] {dim: 1}`; the note tells apart what would read alike. */
export function labelOf({ op, args, options, note }: GoldenCall & { note?: string }): string {
  const show = (value: Argument): string => {
    if (isGoldenTensor(value)) {
      const dtype = value.dtype === 'float' ? '' : ` ${value.dtype}`;
      return `[${value.shape.join(', ')}]${dtype}`;
    }
    return Array.isArray(value) ? `(${value.map(show).join(', ')})` : String(value);
  };
  const given = Object.entries(options ?? {}).map(([name, value]) => `${name}: ${show(value)}`);
  return [op, ...args.map(show), ...(given.length > 0 ? [`{${given.join(', ')}}`] : [])]
    .concat(note ? [`(${note})`] : [])
    .join(' ');
}

export interface Inputs {
  args: unknown[];
  options?: Record<string, unknown>;
  /** The tensors among them, each with its record. */
  tensors: [Tensor, GoldenTensor][];
}

/** The arguments of a call, new tensors each time. */
export function inputsOf(call: GoldenCall, precision: Precision, withGradients: boolean): Inputs {
  const tensors: [Tensor, GoldenTensor][] = [];
  const decode = (value: Argument): unknown => {
    if (isGoldenTensor(value)) {
      const dtype = value.dtype === 'float' ? precision : value.dtype;
      const numbers = Float64Array.from(numbersOf(value.values));
      const made = tensor(numbers, { shape: value.shape, dtype });
      made.requiresGrad = withGradients && value.gradient !== undefined;
      tensors.push([made, value]);
      return made;
    }
    if (Array.isArray(value)) return value.map(decode);
    return NOT_FINITE.includes(value as string) ? Number(value) : value;
  };
  const args = call.args.map(decode);
  const given = Object.entries(call.options ?? {});
  const options = Object.fromEntries(given.map(([name, value]) => [name, decode(value)]));
  return { args, ...(given.length > 0 ? { options } : {}), tensors };
}

export type PublicFunction = (...args: unknown[]) => Tensor | Tensor[];

export function publicFunction(op: string): PublicFunction {
  const found = (fluxion as unknown as Record<string, PublicFunction | undefined>)[op];
  if (typeof found !== 'function') throw new Error(`missing op: ${op}`);
  return found;
}

/** Calls the public function, or the method of the first argument. */
export function run(call: GoldenCall, { args, options }: Inputs, as: 'function' | 'method') {
  const rest = options ? [options] : [];
  if (as === 'function') return publicFunction(call.op)(...args, ...rest);
  const [self, ...others] = args as [Record<string, PublicFunction>, ...unknown[]];
  return self[call.op]!(...others, ...rest);
}

/** Whether the function is also a method of its first argument. */
export function isMethod(call: GoldenCall): boolean {
  return isGoldenTensor(call.args[0]) && call.op in Tensor.prototype;
}

/** The cotangent of output number `output`, as scripts/golden/records.py defines it. */
export function cotangentOf(output: number, { shape, dtype }: Tensor): Tensor {
  const size = shape.reduce((a, b) => a * b, 1);
  const values = Float64Array.from(
    { length: size },
    (_, i) => (((7 * i + 3 * output + 2) % 13) - 6) / 8,
  );
  return tensor(values, { shape: [...shape], dtype });
}
