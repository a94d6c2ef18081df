import path from 'node:path';
import { FluxionError } from './errors';
import { packageRoot } from './manifest';

/** Platforms whose binary is a package of its own, so that nobody downloads those of others. */
const PACKAGES: Readonly<Record<string, string>> = { 'linux-arm64': 'fluxion-linux-arm64' };

const REMEDY =
  'build it from source with `npx fluxion build`, which needs CMake and a C++20 compiler';

const platform = `${process.platform}-${process.arch}`;

/** The platform as binaries are chosen: 'linux-x64 with glibc 2.36', 'darwin-arm64'. */
function platformName(): string {
  if (process.platform !== 'linux') return platform;
  const { header } = process.report.getReport() as { header: { glibcVersionRuntime?: string } };
  const libc = header.glibcVersionRuntime ? `glibc ${header.glibcVersionRuntime}` : 'musl';
  return `${platform} with ${libc}`;
}

function explain({ code, message }: Error & { code?: string }): string {
  if (message.startsWith('No native build was found')) {
    const package_ = PACKAGES[platform];
    const install = package_ ? `run \`npm install ${package_}\`, or ` : '';
    return `there is no binary for ${platformName()}; ${install}${REMEDY}`;
  }
  if (code === 'ERR_DLOPEN_DISABLED') {
    return 'native addons are disabled; start Node.js with --allow-addons (or without --no-addons)';
  }
  if (code === 'ERR_DLOPEN_FAILED') {
    return `the binary cannot be loaded on ${platformName()} (${message.trim()}); ${REMEDY}`;
  }
  return `the native addon cannot be loaded: ${message}`; // a setting in the environment that it refuses
}

/** Folders that may hold build/Release or prebuilds/, the first choice first. */
function* roots(): Generator<string> {
  yield packageRoot;
  const package_ = PACKAGES[platform];
  if (!package_) return;
  try {
    yield path.dirname(require.resolve(`${package_}/package.json`));
  } catch {
    // it is not installed
  }
}

/**
 * Loads the addon: a local build (build/Release), else the binary that fits the platform, of this package or of the
 * platform's own.
 */
export function loadAddon(): unknown {
  // eslint-disable-next-line @typescript-eslint/no-require-imports
  const load = require('node-gyp-build') as (root: string) => unknown;
  let reason: unknown;
  for (const root of roots()) {
    try {
      return load(root);
    } catch (error) {
      reason = error;
    }
  }
  throw new FluxionError('FLUXION_BACKEND_FAILURE', 'fluxion', explain(reason as Error), {
    cause: reason,
  });
}
