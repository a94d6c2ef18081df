import path from 'node:path';
import { pathToFileURL } from 'node:url';
import { FluxionError, show } from '../errors';

/**
 * A function by the module that exports it: functions cannot be sent to a worker, which imports the module
 * instead. The function is called once in each worker, with `options`.
 */
export interface ModuleReference {
  /** A path (from the current folder, where it is relative), a file: URL, or the name of a package. */
  module: string;
  /** Default 'default'. */
  export?: string;
  /** Anything that can be copied to a worker. */
  options?: unknown;
}

function specifierOf(module: string): string {
  return path.isAbsolute(module) || /^\.\.?[\\/]/.test(module)
    ? pathToFileURL(path.resolve(module)).href
    : module;
}

/** What the referenced function makes. */
export async function makeFromModule<T>(what: string, reference: ModuleReference): Promise<T> {
  const name = reference.export ?? 'default';
  const fail = (problem: string, cause?: unknown) =>
    new FluxionError(
      'FLUXION_INVALID_ARGUMENT',
      'DataLoader',
      `${what} must be a module that exports a function '${name}', ${problem}`,
      { cause },
    );
  let loaded: Record<string, unknown>;
  try {
    loaded = (await import(specifierOf(reference.module))) as Record<string, unknown>;
  } catch (error) {
    throw fail(`got ${show(reference.module)}: ${(error as Error).message}`, error);
  }
  // The names of a CommonJS module are not always found: then its exports are the default alone.
  const whole = loaded.default as Record<string, unknown> | undefined;
  const found = loaded[name] ?? whole?.[name];
  const make = typeof found === 'object' ? (found as { default?: unknown } | null)?.default : found;
  if (typeof make !== 'function') throw fail(`got ${show(make)} in ${show(reference.module)}`);
  return await (make as (options: unknown) => T | Promise<T>)(reference.options);
}
