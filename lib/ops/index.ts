import './methods';

export * from './advection-grid-sample';
export * from './advection-semi-lagrangian';
export * from './advection-stability';
export * from './advection-upwind';
export * from './complex';
export * from './creation';
export * from './diffusion';
export * from './elementwise';
export * from './elementwise-activation';
export * from './linalg';
export * from './random';
export * from './reduce';
export * from './shape';
export * from './shape-index';
export * from './spectral-diffusion';
export * from './spectral-fourier';
export * from './spectral-mesh-free';
