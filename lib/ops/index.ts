import './methods';

export * from './creation';
export * from './diffusion';
export * from './elementwise';
export * from './linalg';
export * from './random';
export * from './reduce';
export * from './shape';
export * from './shape-index';
