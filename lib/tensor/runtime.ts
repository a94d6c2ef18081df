import { cudaPluginPath } from '../cuda-plugin';
import { FluxionError, requireArgument, show } from '../errors';
import { version } from '../manifest';
import { type DeviceInfo, native } from '../native';
import { requireDevice } from './device';
import { type DType, carriesGradients, requireDType } from './dtype';

export { version };

/** What the library runs on. */
export interface Config {
  version: string;
  /** Instruction set of the CPU kernels in use. FLUXION_ISA in the environment chooses another. */
  instructionSet: string;
  /** Those that this machine has, the plainest first. */
  instructionSets: string[];
  /** Threads of the CPU kernels; see {@link setNumThreads}. */
  threads: number;
  /** Whether device 'cuda' can be used, and if not, why. */
  cuda: { available: boolean; reason?: string };
}

/** The devices: first 'cpu', then each GPU; a kind of device that cannot be used is listed with the reason. */
export function devices(): DeviceInfo[] {
  return native.devices(cudaPluginPath());
}

/** Versions and settings, for bug reports and benchmarks. */
export function config(): Config {
  const { instructionSet, instructionSets, threads } = native.config();
  const gpu = devices().find(({ device }) => device !== 'cpu');
  return {
    version,
    instructionSet,
    instructionSets: instructionSets.split(' '),
    threads,
    cuda: gpu && !gpu.reason ? { available: true } : { available: false, reason: gpu?.reason },
  };
}

/**
 * Sets how many threads the CPU kernels of this JavaScript environment use: an integer in [1, 256].
 * Default: FLUXION_NUM_THREADS in the environment, else the number of cores. Results have the same bits
 * for any number. Waits for the operations in the queue.
 */
export function setNumThreads(count: number): void {
  requireArgument(
    Number.isInteger(count) && count >= 1 && count <= 256,
    'setNumThreads',
    () => `count must be an integer in [1, 256], got ${show(count)}`,
  );
  native.setNumThreads(count);
}

/** What all functions that make tensors demand of their options; the index of the device. */
export function checkCreation(
  op: string,
  given: { dtype: DType; device: string; requiresGrad: boolean },
): number {
  requireDType(op, given.dtype);
  const device = requireDevice(op, given.device);
  if (given.requiresGrad && !carriesGradients(given.dtype)) {
    throw new FluxionError(
      'FLUXION_DTYPE_MISMATCH',
      op,
      `a tensor with requiresGrad must be of a floating or complex dtype, got ${given.dtype}`,
    );
  }
  return device;
}
