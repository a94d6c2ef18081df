'use strict';

const path = require('node:path');
const { TestEnvironment } = require('jest-environment-node');

// Jest runs each test file in a vm context with its own intrinsics, while a native addon creates
// objects of the main context: without sharing, `data instanceof Float32Array` is false in tests.
const SHARED = [
  'Int8Array',
  'Uint8ClampedArray',
  'Int16Array',
  'Uint16Array',
  'Int32Array',
  'Uint32Array',
  'Float32Array',
  'Float64Array',
  'BigInt64Array',
  'BigUint64Array',
  'DataView',
  'SharedArrayBuffer',
];

module.exports = class AddonEnvironment extends TestEnvironment {
  constructor(config, context) {
    super(config, context);
    for (const name of SHARED) this.global[name] = globalThis[name];
    // Each test file gets an instance of the addon of its own: tensors and settings do not leak.
    const root = config.projectConfig.rootDir;
    for (const file of Object.keys(require.cache)) {
      const inside = ['build', 'prebuilds'].some((folder) =>
        file.startsWith(path.join(root, folder)),
      );
      if (inside && file.endsWith('.node')) delete require.cache[file];
    }
  }
};
