import type * as pngjs from 'pngjs';

/** pngjs, loaded with the first picture: it takes as long as the rest of the package. */
export function pngCodec(): typeof pngjs.PNG {
  // eslint-disable-next-line @typescript-eslint/no-require-imports
  return (require('pngjs') as typeof pngjs).PNG;
}
