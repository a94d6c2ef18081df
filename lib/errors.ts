/** The codes of {@link FluxionError}; the addon exports the same list and a test compares the two. */
export const ERROR_CODES = [
  'FLUXION_INVALID_ARGUMENT',
  'FLUXION_SHAPE_MISMATCH',
  'FLUXION_DTYPE_MISMATCH',
  'FLUXION_DEVICE_MISMATCH',
  'FLUXION_UNSUPPORTED',
  'FLUXION_NOT_DIFFERENTIABLE',
  'FLUXION_DISPOSED',
  'FLUXION_OUT_OF_MEMORY',
  'FLUXION_BACKEND_FAILURE',
  'FLUXION_CORRUPT_FILE',
  'FLUXION_INTERNAL',
] as const;

export type ErrorCode = (typeof ERROR_CODES)[number];

/**
 * Every error that Fluxion raises. The message reads `op: argument must requirement, got value`.
 *
 * @example
 * try { matmul(a, b) } catch (e) { if (e.code === 'FLUXION_SHAPE_MISMATCH') ... }
 */
export class FluxionError extends Error {
  override readonly name = 'FluxionError';
  /** What kind of error it is; stable across versions. */
  readonly code: ErrorCode;
  /** The public function that found it; empty where none did. */
  readonly op: string;

  constructor(code: ErrorCode, op: string, detail: string, options?: { cause?: unknown }) {
    super(op ? `${op}: ${detail}` : detail, options);
    this.code = code;
    this.op = op;
  }
}

/** Throws FLUXION_INVALID_ARGUMENT unless the condition holds. */
export function requireArgument(
  holds: boolean,
  op: string,
  detail: string | (() => string),
): asserts holds {
  if (!holds) {
    throw new FluxionError(
      'FLUXION_INVALID_ARGUMENT',
      op,
      typeof detail === 'string' ? detail : detail(),
    );
  }
}

/** Shows a value in an error message, short; lists in lists to a depth, for a list may hold itself. */
export function show(value: unknown, depth = 4): string {
  if (typeof value === 'string') return `'${value}'`;
  if (Array.isArray(value)) {
    if (depth === 0) return '[...]';
    const shown = value.slice(0, 8).map((entry) => show(entry, depth - 1));
    return `[${shown.join(', ')}${value.length > 8 ? ', ...' : ''}]`;
  }
  if (typeof value === 'object' && value !== null) return value.constructor?.name ?? 'object';
  return String(value);
}

/** Throws FLUXION_INVALID_ARGUMENT, "name must requirement, got value", unless the value is valid. */
export function requireOption(
  op: string,
  name: string,
  requirement: string,
  value: unknown,
  valid: boolean,
): void {
  requireArgument(valid, op, () => `${name} must ${requirement}, got ${show(value)}`);
}
