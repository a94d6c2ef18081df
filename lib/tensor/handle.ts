import { native, Frame } from '../native';
import type { DType } from './dtype';
import { DTYPES } from './dtype';
import { refuseWhileRecording } from './recording';

const frame = new Float64Array(native.frame);

/** How many inputs an op may have. */
export const MAX_OPERANDS = Frame.maxOperands;

/**
 * A tensor of the addon: the object whose collection by the garbage collector frees it. A Tensor and the
 * tape may hold the same handle; `references` counts them, and the last one gives the memory back.
 */
export class Handle {
  /** Number of the tensor in the addon; -1 when released. */
  id = -1;
  references = 1;
  dtype: DType = 'float32';
  /** Index of the device: 0 is the CPU, k is GPU k - 1. */
  device = 0;
  shape: readonly number[] = [];
}

export function retain(handle: Handle): Handle {
  handle.references++;
  return handle;
}

export function releaseHandle(handle: Handle): void {
  if (--handle.references > 0 || handle.id < 0) return;
  native.release(handle.id);
  handle.id = -1;
}

/** An input of an op: a tensor, a number, or nothing. */
export type OperandHandle = Handle | number | null;

function setInputs(inputs: readonly OperandHandle[]): void {
  frame[Frame.inputCount] = inputs.length;
  let at: number = Frame.inputs;
  for (const input of inputs) {
    if (input === null) {
      frame[at] = Frame.absent;
    } else if (typeof input === 'number') {
      frame[at] = Frame.number;
      frame[at + 1] = input;
    } else {
      frame[at] = Frame.tensor;
      frame[at + 1] = input.id;
    }
    at += 2;
  }
}

function readOutput(handle: Handle, slot: number): void {
  const at = slot * Frame.outputStride;
  handle.id = frame[at]!;
  handle.dtype = DTYPES[frame[at + 1]!]!;
  handle.device = frame[at + Frame.outputDevice]!;
  const ndim = frame[at + 2]!;
  const shape = new Array<number>(ndim);
  for (let i = 0; i < ndim; i++) shape[i] = frame[at + 3 + i]!;
  handle.shape = shape;
}

/** Runs an op with one output. */
export function runOne(
  op: number,
  inputs: readonly OperandHandle[],
  params: object | undefined,
): Handle {
  setInputs(inputs);
  const output = new Handle();
  native.run(op, params, output);
  readOutput(output, 0);
  return output;
}

/** Runs an op with several outputs; those whose bit in `wanted` is not set are not computed. */
export function runMany(
  op: number,
  inputs: readonly OperandHandle[],
  params: object | undefined,
  count: number,
  wanted: number,
): (Handle | null)[] {
  setInputs(inputs);
  const outputs: (Handle | null)[] = [];
  for (let i = 0; i < count; i++) outputs.push((wanted >> i) & 1 ? new Handle() : null);
  native.run(op, params, ...outputs.map((output) => output ?? undefined));
  outputs.forEach((output, i) => output && readOutput(output, i));
  return outputs;
}

/** Runs an op that has no tensors for inputs on a device (by its index). */
export function onDevice<T>(device: number, run: () => T): T {
  frame[Frame.device] = device;
  try {
    return run();
  } finally {
    frame[Frame.device] = 0;
  }
}

/** The tensor of a handle on another device. Waits for the device that it leaves. */
export function transfer(handle: Handle, device: number): Handle {
  refuseWhileRecording('to');
  const moved = new Handle();
  native.transfer(handle.id, device, moved);
  readOutput(moved, 0);
  return moved;
}

/** Copies a typed array into a new tensor on a device (by its index). */
export function upload(
  values: ArrayBufferView,
  dtype: DType,
  shape: readonly number[],
  device = 0,
): Handle {
  const handle = new Handle();
  frame[2] = shape.length;
  shape.forEach((size, i) => (frame[3 + i] = size));
  onDevice(device, () => native.fromTypedArray(values, DTYPES.indexOf(dtype), handle));
  readOutput(handle, 0);
  return handle;
}
