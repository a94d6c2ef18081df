// The device of these tests: a GPU, or the host execution layer where FLUXION_CUDA_PLUGIN names it.
import { devices } from '../../lib';

const found = devices().find(({ device }) => device.startsWith('cuda'));

/** Why there is no device; null where there is one. */
export const missing: string | null =
  found && found.reason === undefined ? null : (found?.reason ?? 'no device');

if (missing !== null) console.log(`the tests of device 'cuda' are skipped: ${missing}`);

export const describeOnCuda = missing === null ? describe : describe.skip;
/** Tests with a limit of the host execution layer's memory, or its second device. */
export const hostLayer = found?.name === 'host execution layer';
