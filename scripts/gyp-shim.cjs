#!/usr/bin/env node
'use strict';

// Stands in for node-gyp under prebuildify, which runs `<node-gyp> rebuild --arch=… --release …`:
// a prebuild then comes from CMakeLists.txt, like every other build, and needs no Node.js headers.

const { spawnSync } = require('node:child_process');

const given = process.argv.slice(2);
const arch = given.find((argument) => argument.startsWith('--arch='))?.slice('--arch='.length);

const wanted = [require.resolve('cmake-js/bin/cmake-js'), 'rebuild'];
if (arch) wanted.push('--arch', arch);
if (given.includes('--debug')) wanted.push('--debug');

const { status, error } = spawnSync(process.execPath, wanted, { stdio: 'inherit' });
if (error) console.error(error.message);
process.exit(status ?? 1);
