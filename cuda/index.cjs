'use strict';

/** Path of the plug-in; fluxion opens it when a CUDA device is first asked for. */
exports.library = require('node:path').join(__dirname, 'libfluxion_cuda.so');
