#!/usr/bin/env node
'use strict';

// Stands in for node-gyp under prebuildify, which runs `<node-gyp> rebuild --arch=… --release …` in a folder of its own
// and takes the addon from build/Release there: a prebuild comes from CMakeLists.txt, like every other build, needs no
// Node.js headers, and leaves the build where it is. FLUXION_BUILD and FLUXION_TOOLCHAIN come from make-prebuild.mjs.

const { spawnSync } = require('node:child_process');
const { copyFileSync, mkdirSync } = require('node:fs');
const path = require('node:path');

const { FLUXION_BUILD: build, FLUXION_TOOLCHAIN: toolchain } = process.env;
const arch = process.argv.find((argument) => argument.startsWith('--arch='));

const wanted = [require.resolve('cmake-js/bin/cmake-js'), 'build', '--out', build];
wanted.push('--directory', path.dirname(__dirname));
if (arch) wanted.push('--arch', arch.slice('--arch='.length));
if (toolchain) wanted.push(`--CDCMAKE_TOOLCHAIN_FILE=${toolchain}`);

const { status, error } = spawnSync(process.execPath, wanted, { stdio: 'inherit' });
if (error) console.error(error.message);
if (status === 0) {
  mkdirSync('build/Release', { recursive: true });
  copyFileSync(path.join(build, 'Release/fluxion.node'), 'build/Release/fluxion.node');
}
process.exit(status ?? 1);
