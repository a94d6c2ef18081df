// Packs what is not in the package itself, because nobody should download the binaries of others:
//
//   npm run pack:platform -- linux-arm64    fluxion-linux-arm64, from prebuilds/ (npm run make:prebuild -- --arch arm64)
//   npm run pack:platform -- cuda           fluxion-cuda-linux-x64, from build/cuda/Release
//
// The tarball is written to build/packages.

import { execFileSync } from 'node:child_process';
import { copyFileSync, cpSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';

const root = path.dirname(path.dirname(fileURLToPath(import.meta.url)));
const packages = path.join(root, 'build/packages');
const manifest = JSON.parse(readFileSync(path.join(root, 'package.json'), 'utf8'));

/** A folder with one platform's prebuilds and a manifest by which npm refuses other platforms. */
function platformPackage(target) {
  const [platform, arch] = target.split('-');
  const name = `fluxion-${target}`;
  const folder = path.join(packages, name);
  rmSync(folder, { recursive: true, force: true });
  mkdirSync(folder, { recursive: true });
  cpSync(path.join(root, 'prebuilds', target), path.join(folder, 'prebuilds', target), {
    recursive: true,
  });
  copyFileSync(path.join(root, 'LICENSE'), path.join(folder, 'LICENSE'));
  writeFileSync(
    path.join(folder, 'README.md'),
    `# ${name}\n\nThe binary of [fluxion](https://www.npmjs.com/package/fluxion) for ${target}: \`npm install fluxion ${name}\`.\n`,
  );
  const { version, license, author, engines } = manifest;
  const fields = {
    name,
    version,
    description: `The binary of fluxion for ${target}`,
    license,
    author,
    files: ['prebuilds'],
    os: [platform],
    cpu: [arch],
    ...(platform === 'linux' ? { libc: ['glibc'] } : {}),
    engines,
    peerDependencies: { fluxion: version },
  };
  writeFileSync(path.join(folder, 'package.json'), `${JSON.stringify(fields, null, 2)}\n`);
  return folder;
}

function cudaPackage() {
  const folder = path.join(root, 'cuda');
  const library = path.join(folder, 'libfluxion_cuda.so');
  copyFileSync(path.join(root, 'build/cuda/Release/libfluxion_cuda.so'), library);
  execFileSync('strip', ['--strip-unneeded', library]);
  return folder;
}

const [target] = process.argv.slice(2);
if (!target) throw new Error('name a target: linux-arm64 or cuda');
const folder = target === 'cuda' ? cudaPackage() : platformPackage(target);
mkdirSync(packages, { recursive: true });
execFileSync('npm', ['pack', folder, '--pack-destination', packages], { stdio: 'inherit' });
