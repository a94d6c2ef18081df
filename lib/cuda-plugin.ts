import { existsSync } from 'node:fs';
import path from 'node:path';
import { packageRoot } from './manifest';

/** The package that brings the CUDA plug-in to this platform; users install it beside fluxion. */
const PACKAGE = `fluxion-cuda-${process.platform}-${process.arch}`;

/** Where `npm run build:cuda` leaves it in a clone. */
const BUILT = path.join(packageRoot, 'build/cuda/Release/libfluxion_cuda.so');

/**
 * Path of the CUDA plug-in, that of its package or one that was built in a clone; empty where there is none.
 * FLUXION_CUDA_PLUGIN in the environment goes before: the addon reads it.
 */
export function cudaPluginPath(): string {
  try {
    const entry = require.resolve(PACKAGE, { paths: [__dirname, process.cwd()] });
    // eslint-disable-next-line @typescript-eslint/no-require-imports
    return (require(entry) as { library: string }).library;
  } catch {
    return existsSync(BUILT) ? BUILT : '';
  }
}
