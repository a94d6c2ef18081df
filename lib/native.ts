import { loadAddon } from './addon-file';
import { FluxionError, type ErrorCode } from './errors';

/** What the addon exports; native/bindings/ is the other side. */
export interface Native {
  /** Memory of the call frame; see {@link Frame}. */
  readonly frame: ArrayBuffer;
  readonly ops: readonly NativeOp[];
  readonly dtypes: readonly string[];
  readonly errorCodes: readonly string[];
  setErrorClass(errorClass: typeof FluxionError): void;
  /** Runs an op; inputs and outputs through the frame, an object for each wanted output. */
  run(op: number, params: object | undefined, ...outputs: (object | undefined)[]): void;
  /** Makes device `index` ready: 1 + the number of the GPU. Throws with the reason where it cannot be used. */
  openDevice(index: number, plugin: string, op: string): void;
  /** Copies a tensor to another device. */
  transfer(id: number, device: number, handle: object): void;
  /** Gives a tensor the values of another one of its device, in the memory that it has. */
  overwrite(id: number, from: number): void;
  fromTypedArray(values: ArrayBufferView, dtype: number, handle: object): void;
  release(id: number): void;
  readSync(id: number, to: ArrayBufferView): void;
  read(id?: number, to?: ArrayBufferView): Promise<void>;
  /** Graphs of a GPU; see native/bindings/capture.cpp. */
  captureBegin(device: number): void;
  captureLaunches(device: number): number;
  captureEnd(device: number): number;
  captureAbandon(device: number): void;
  graphUpdate(graph: number, launch: number, op: number, params: object): void;
  graphReplay(graph: number): void;
  graphRelease(graph: number): void;
  memory(device?: number): {
    tensors: number;
    bytes: number;
    peakBytes: number;
    cachedBytes: number;
  };
  resetPeak(): void;
  config(): { instructionSet: string; instructionSets: string; threads: number };
  setNumThreads(count: number): void;
  setInstructionSet(name: string): boolean;
  setCheckedMemory(on: boolean): void;
  devices(plugin: string): DeviceInfo[];
  /** Records what runs on the queue, up to `capacity` items; see native/bindings/profiling.cpp. */
  profileStart(capacity: number): void;
  /** Waits for the queue: how many items have been recorded. */
  profileMark(): number;
  profileStop(): { records: Float64Array; stride: number; dropped: number };
}

export interface NativeOp {
  readonly name: string;
  /** Number of inputs; -1 = any. */
  readonly inputs: number;
  readonly outputs: number;
  readonly view: boolean;
  /** Names of the parameters, separated by blanks. */
  readonly params: string;
}

/** A device and, where it cannot be used, the reason. */
export interface DeviceInfo {
  device: string;
  name: string;
  /** Bytes. */
  memory?: number;
  reason?: string;
}

/** Layout of the call frame, as `Frame` in native/bindings/addon.h. */
export const Frame = {
  /** Output k begins at k * stride: id, dtype, ndim, sizes; the device at its end. */
  outputStride: 12,
  outputDevice: 11,
  /** Where an op without tensors makes its outputs. */
  device: 62,
  inputCount: 63,
  /** Input i: kind at inputs + 2 i, value behind it. */
  inputs: 64,
  maxOperands: 1024,
  absent: 0,
  tensor: 1,
  number: 2,
} as const;

/** The addon of this JavaScript environment. */
export const native = loadAddon() as Native;
native.setErrorClass(FluxionError);

export type { ErrorCode };
