import { FluxionError } from '../errors';

/** The error of a file whose content cannot be trusted: `op: path: what it must be, got what`. */
export function corruptFile(
  op: string,
  path: string,
  detail: string,
  cause?: unknown,
): FluxionError {
  return new FluxionError('FLUXION_CORRUPT_FILE', op, `${path}: ${detail}`, { cause });
}

/** The error of a file that is sound but holds something that Fluxion does not read. */
export function unsupportedFile(op: string, path: string, detail: string): FluxionError {
  return new FluxionError('FLUXION_UNSUPPORTED', op, `${path}: ${detail}`);
}
