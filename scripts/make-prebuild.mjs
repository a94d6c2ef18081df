// Makes prebuilds/<platform>-<arch>/fluxion[.<libc>].node, the layout that node-gyp-build looks for, from the one CMake
// build: for this machine a copy of what `npm run build:native` makes, for others from a build folder of their own.
//
//   npm run make:prebuild                    this machine
//   npm run make:prebuild -- --arch arm64    Linux: by the cross compiler of cmake/linux-arm64.cmake
//   npm run make:prebuild -- --libc musl --toolchain file.cmake

import { existsSync } from 'node:fs';
import { mkdir } from 'node:fs/promises';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs, promisify } from 'node:util';
import prebuildify from 'prebuildify';
import { checkBinary } from './check-binary.mjs';

const root = path.dirname(path.dirname(fileURLToPath(import.meta.url)));
const STRIP = { arm64: 'aarch64-linux-gnu-strip' };

const { platform } = process;
const onLinux = platform === 'linux';
const hostLibc = process.report.getReport().header.glibcVersionRuntime ? 'glibc' : 'musl';
const { values } = parseArgs({
  options: {
    arch: { type: 'string', default: process.arch },
    libc: { type: 'string', default: hostLibc },
    toolchain: { type: 'string' },
  },
});
const { arch, libc } = values;

const crossing = onLinux && (arch !== process.arch || libc !== hostLibc);
const toolchain =
  values.toolchain ?? (crossing ? path.join(root, `cmake/${platform}-${arch}.cmake`) : undefined);
if (toolchain && !existsSync(toolchain)) {
  throw new Error(`no toolchain file ${toolchain}: name one with --toolchain`);
}
if (crossing && libc !== hostLibc && !values.toolchain) {
  throw new Error(`a build for ${libc} on a machine with ${hostLibc} needs --toolchain`);
}

const tag = [platform, arch, ...(onLinux ? [libc] : [])].join('-');
const cwd = path.join(root, 'build/prebuilds', tag);
await mkdir(cwd, { recursive: true });
process.env.FLUXION_BUILD = path.join(root, 'build', crossing ? tag : '');
if (toolchain) process.env.FLUXION_TOOLCHAIN = path.resolve(toolchain);
await promisify(prebuildify)({
  name: 'fluxion',
  napi: true,
  strip: true,
  stripBin: (arch !== process.arch && STRIP[arch]) || 'strip',
  arch,
  tagLibc: onLinux ? libc : undefined,
  cwd,
  out: root,
  nodeGyp: path.join(root, 'scripts/gyp-shim.cjs'),
});

const file = path.join(
  root,
  'prebuilds',
  `${platform}-${arch}`,
  `fluxion${onLinux ? `.${libc}` : ''}.node`,
);
if (onLinux) checkBinary(file);
