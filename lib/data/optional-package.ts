import { FluxionError } from '../errors';

/** An optional package, or FLUXION_UNSUPPORTED that says how to get it. */
export async function optionalPackage<T>(
  op: string,
  purpose: string,
  name: string,
  load: () => Promise<T>,
): Promise<T> {
  try {
    return await load();
  } catch (cause) {
    throw new FluxionError(
      'FLUXION_UNSUPPORTED',
      op,
      `${purpose} the package ${name}, which is not installed; run: npm install ${name}`,
      { cause },
    );
  }
}
