import { native } from '../native';
import { FluxionError } from '../errors';
import { type DType, type TypedArray, isComplex, newTypedArray } from './dtype';
import { deviceIndex, deviceName } from './device';
import { type Handle, releaseHandle } from './handle';
import { refuseWhileRecording } from './recording';
import { type Scoped, currentScope } from './scope';

const BRAND: unique symbol = Symbol.for('fluxion.tensor') as never;

/** The place of a tensor in the recorded computation; lib/autograd defines what it holds. */
export interface TapeNode {
  readonly op: string;
  release(): void;
}

export type NestedArray = number | NestedArray[];

/**
 * An n-dimensional array on a device.
 *
 * Operations never change a tensor; they return new ones. They are free functions and also chained
 * methods: `relu(add(x, 1))` is `x.add(1).relu()`. Memory is released by {@link dispose}, by the end of a
 * `tidy` scope, or by the garbage collector.
 */
export class Tensor implements Scoped {
  readonly [BRAND] = native;
  /** @internal */
  handle: Handle;
  /** @internal The operation that made it, when gradients flow through it. */
  node: TapeNode | null = null;
  /** @internal Which output of that operation it is. */
  outputIndex = 0;
  /** @internal The operation that cut the flow of gradients on the way here, for error messages. */
  cut: string | null = null;
  /** Whether gradients with respect to it are computed. */
  requiresGrad = false;
  /** The gradient that `backward` has accumulated here; null before. */
  grad: Tensor | null = null;
  /** @internal */
  kept = false;
  /** @internal */
  disposed = false;

  /** @internal Use tensor(), zeros(), ... */
  constructor(handle: Handle) {
    this.handle = handle;
    currentScope()?.tensors.push(this);
  }

  /** Sizes of the dimensions. */
  get shape(): readonly number[] {
    return this.handle.shape;
  }
  get dtype(): DType {
    return this.handle.dtype;
  }
  /** Where the elements are: 'cpu' or 'cuda:N'. */
  get device(): string {
    return deviceName(this.handle.device);
  }
  /** Number of dimensions. */
  get ndim(): number {
    return this.handle.shape.length;
  }
  /** Number of elements. */
  get size(): number {
    return this.handle.shape.reduce((a, b) => a * b, 1);
  }

  /** True for tensors at the start of the recorded computation: inputs and parameters. */
  get isLeaf(): boolean {
    return this.node === null;
  }

  /**
   * The elements in row-major order. Waits for the queue without blocking the event loop. Complex elements
   * are pairs (re, im) in a Float32Array or Float64Array of length 2 size.
   *
   * Errors: FLUXION_DISPOSED; faults that only the data could show (an index out of range) of any
   * operation before it.
   */
  async data(): Promise<TypedArray> {
    refuseWhileRecording('data');
    const values = newTypedArray(this.dtype, this.size, 'data');
    await native.read(this.live('data').id, values);
    return values;
  }

  /** As {@link data}, but blocks the calling thread, and the event loop with it, until the queue is done. */
  dataSync(): TypedArray {
    refuseWhileRecording('dataSync');
    const values = newTypedArray(this.dtype, this.size, 'dataSync');
    native.readSync(this.live('dataSync').id, values);
    return values;
  }

  /** The value of a real tensor of one element. Blocks as {@link dataSync}. */
  item(): number {
    if (this.size !== 1) {
      throw new FluxionError(
        'FLUXION_SHAPE_MISMATCH',
        'item',
        `tensor must have one element, got shape [${this.shape.join(', ')}]`,
      );
    }
    if (isComplex(this.dtype)) {
      throw new FluxionError(
        'FLUXION_DTYPE_MISMATCH',
        'item',
        `tensor must be real, got ${this.dtype}; dataSync() gives the pair, real() and imag() its parts`,
      );
    }
    return this.dataSync()[0]!;
  }

  /**
   * The elements as nested arrays; a number for a tensor without dimensions. Complex elements are pairs
   * [re, im], as `tensor` takes them.
   */
  async toArray(): Promise<NestedArray> {
    const shape = isComplex(this.dtype) ? [...this.shape, 2] : this.shape;
    return nest(await this.data(), shape);
  }

  /** Releases the memory now. Using the tensor afterwards throws FLUXION_DISPOSED. */
  dispose(): void {
    if (this.disposed) return;
    this.disposed = true;
    releaseHandle(this.handle);
    this.node = null;
    this.grad?.dispose();
    this.grad = null;
  }

  [Symbol.dispose](): void {
    this.dispose();
  }

  /** @internal The handle, or an error when it is disposed. */
  live(op: string): Handle {
    if (this.disposed) {
      throw new FluxionError('FLUXION_DISPOSED', op, 'a tensor has been disposed');
    }
    return this.handle;
  }

  toString(): string {
    const state = this.disposed ? ', disposed' : this.requiresGrad ? ', requiresGrad' : '';
    return `Tensor([${this.shape.join(', ')}], ${this.dtype}${state})`;
  }

  [Symbol.for('nodejs.util.inspect.custom')](): string {
    return this.toString();
  }
}

/** Whether a value is a tensor of this copy of Fluxion. */
export function isTensor(value: unknown): value is Tensor {
  return (value as Tensor | null | undefined)?.[BRAND] === native;
}

/** Whether a value is a tensor of any copy of Fluxion. */
export function isForeignTensor(value: unknown): boolean {
  const brand = (value as Tensor | null | undefined)?.[BRAND];
  return brand !== undefined && brand !== native;
}

function nest(values: TypedArray, shape: readonly number[]): NestedArray {
  if (shape.length === 0) return values[0]!;
  const [size, ...rest] = shape as [number, ...number[]];
  const step = rest.reduce((a, b) => a * b, 1);
  return Array.from({ length: size }, (_, i) =>
    nest(values.subarray(i * step, (i + 1) * step), rest),
  );
}

export interface MemoryReport {
  /** Live tensors, views and tensors saved for backward included. */
  tensors: number;
  /** Bytes of live tensors. */
  bytes: number;
  /** The highest value `bytes` has had. */
  peakBytes: number;
  /** Free bytes kept for reuse. */
  cachedBytes: number;
}

/**
 * Live tensors of this JavaScript environment and their bytes: of all devices together, or the bytes of one.
 *
 * Errors: FLUXION_INVALID_ARGUMENT for what is no device name.
 */
export function memory(device?: string): MemoryReport {
  return native.memory(device === undefined ? undefined : deviceIndex('memory', device));
}
