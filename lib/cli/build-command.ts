import { spawnSync } from 'node:child_process';
import path from 'node:path';
import { FluxionError } from '../errors';
import { packageRoot } from '../manifest';

export interface BuildOptions {
  jobs: string;
}

function failed(detail: string, cause?: unknown): FluxionError {
  return new FluxionError('FLUXION_BACKEND_FAILURE', 'build', detail, { cause });
}

function cmake(args: string[]): void {
  const { status, error } = spawnSync('cmake', args, { stdio: 'inherit' });
  if (error) {
    throw failed(
      `cannot run cmake (${error.message}); install CMake 3.19 or newer and a C++20 compiler`,
      error,
    );
  }
  if (status !== 0) throw failed(`cmake ${args[0]!} ended with code ${status}`);
}

/** `fluxion build`: compiles the addon from the package's own sources into build/Release, which goes before a prebuild. */
export function buildCommand({ jobs }: BuildOptions): void {
  const count = Number(jobs);
  if (!Number.isInteger(count) || count < 1)
    throw failed(`--jobs must be a positive integer, got ${jobs}`);
  const folder = path.join(packageRoot, 'build');
  const include = path.join(packageRoot, 'dist', 'headers'); // of Node-API, put there by the build of the package
  cmake([
    ...['-S', packageRoot, '-B', folder],
    ...['-DCMAKE_BUILD_TYPE=Release', `-DCMAKE_JS_INC=${include}`],
  ]);
  cmake([
    '--build',
    folder,
    '--config',
    'Release',
    '--target',
    'fluxion',
    '--parallel',
    String(count),
  ]);
  console.log(`Built ${path.join(folder, 'Release', 'fluxion.node')}`);
}
