/** Implicit diffusion and the tridiagonal systems that it is made of. */
export * from './diffusion-implicit';
export * from './diffusion-tridiagonal';
