import { cudaPluginPath } from '../cuda-plugin';
import { requireArgument, show } from '../errors';
import { native } from '../native';

const DEVICE_NAME = /^(?:cpu|cuda(?::(\d{1,3}))?)$/;

/** How users name a device; 'cuda' is 'cuda:0'. */
export type DeviceName = 'cpu' | 'cuda' | `cuda:${number}`;

/** Whether a value has the form of a device name. */
export function isDeviceName(value: unknown): value is DeviceName {
  return typeof value === 'string' && DEVICE_NAME.test(value);
}

const names = ['cpu'];

/** Name of a device by its index: 'cpu', 'cuda:0', ... */
export function deviceName(index: number): string {
  return (names[index] ??= `cuda:${index - 1}`);
}

/** Index of a device by its name: 0 is the CPU, k is GPU k - 1; 'cuda' is the first GPU. */
export function deviceIndex(op: string, device: unknown): number {
  if (device === 'cpu') return 0;
  requireArgument(
    isDeviceName(device),
    op,
    () => `device must be 'cpu', 'cuda' or 'cuda:N', got ${show(device)}`,
  );
  return 1 + Number(DEVICE_NAME.exec(device)![1] ?? 0);
}

const open = new Set([0]);

/**
 * As {@link deviceIndex} for a device that tensors can be made on. The CUDA plug-in is loaded by the first
 * question after a GPU.
 *
 * Errors: FLUXION_UNSUPPORTED with the reason where it cannot be used.
 */
export function requireDevice(op: string, device: unknown): number {
  const index = deviceIndex(op, device);
  if (!open.has(index)) {
    native.openDevice(index, cudaPluginPath(), op);
    open.add(index);
  }
  return index;
}
