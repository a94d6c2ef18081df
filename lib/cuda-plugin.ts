/** The package that brings the CUDA plug-in to this platform; users install it beside fluxion. */
const PACKAGE = `fluxion-cuda-${process.platform}-${process.arch}`;

/**
 * Path of the CUDA plug-in, that of its package; empty where it is not installed. FLUXION_CUDA_PLUGIN in the environment
 * goes before: the addon reads it.
 */
export function cudaPluginPath(): string {
  try {
    const entry = require.resolve(PACKAGE, { paths: [__dirname, process.cwd()] });
    // eslint-disable-next-line @typescript-eslint/no-require-imports
    return (require(entry) as { library: string }).library;
  } catch {
    return '';
  }
}
