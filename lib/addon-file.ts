import { FluxionError } from './errors';
import { packageRoot } from './manifest';

/** What a source build needs, and the command; ends every message about a missing or unfit binary. */
const REMEDY =
  'build it from source with `npx fluxion build`, which needs CMake and a C++20 compiler';

/** The platform as binaries are chosen: linux-x64 with glibc 2.36, darwin-arm64. */
export function platformName(): string {
  const name = `${process.platform}-${process.arch}`;
  if (process.platform !== 'linux') return name;
  const { header } = process.report.getReport() as { header: { glibcVersionRuntime?: string } };
  return `${name} with ${header.glibcVersionRuntime ? `glibc ${header.glibcVersionRuntime}` : 'musl'}`;
}

function failure(cause: Error & { code?: string }): FluxionError {
  const detail = cause.message.startsWith('No native build was found')
    ? `this package has no binary for ${platformName()}; ${REMEDY}`
    : cause.code === 'ERR_DLOPEN_DISABLED'
      ? 'native addons are disabled; start Node.js with --allow-addons'
      : `the binary cannot be loaded on ${platformName()} (${cause.message}); ${REMEDY}`;
  return new FluxionError('FLUXION_BACKEND_FAILURE', 'fluxion', detail, { cause });
}

/** Loads the addon: a local build (build/Release), else the binary in prebuilds/ that fits the platform. */
export function loadAddon(): unknown {
  try {
    // eslint-disable-next-line @typescript-eslint/no-require-imports
    return (require('node-gyp-build') as (root: string) => unknown)(packageRoot);
  } catch (cause) {
    throw failure(cause as Error);
  }
}
