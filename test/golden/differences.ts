// Where Fluxion's results differ from PyTorch's: docs/pytorch-differences.md says why. An entry names records by
// their label, by its beginning, or by a pattern.

export type Labels = readonly (string | RegExp)[];

/** Whether a label is listed: it is an entry, goes on behind one, or matches a pattern. */
export function isListed(label: string, list: Labels): boolean {
  return list.some((entry) =>
    typeof entry === 'string'
      ? label === entry || label.startsWith(`${entry} `) || label.startsWith(`${entry},`)
      : entry.test(label),
  );
}

/** Operators and options that are not built yet; their records are skipped. */
export const PENDING: Labels = [];

/** Operators without rows in the case tables yet. */
export const WITHOUT_CASES: readonly string[] = [];

/** Records that differ on purpose; they must fail. */
export const DIFFERENT: Labels = [
  // Rounding modes of division are not offered.
  /^div .*roundingMode/,
  // A NaN stays a NaN in the gradient of abs.
  'abs [4] (edges)',
  // Only tensors with the same number of dimensions join.
  'cat ([0], [2, 3]) (a tensor [0] joins any)',
  // The gradient is the adjoint of the result; PyTorch's takes other pixels for a scale factor.
  'interpolate [1, 1, 3, 4, 2] {scaleFactor: (1.5, 0.7, 2.3), mode: nearest}',
];

/** Calls that PyTorch refuses and Fluxion answers. */
export const NOT_REFUSED: Labels = [];

/** Pairs of dtypes whose result has another dtype here: a pattern of `op operand operand`, and the result. */
export const DIFFERENT_PROMOTION: readonly [RegExp, string][] = [
  // Numbers stand where PyTorch wants tensors.
  [/^(eq|ne|lt|le|gt|ge) (integer|fraction) /, 'uint8'],
  [/^(maximum|minimum) (.*float64.*)/, 'float64'],
  [/^(maximum|minimum) (.*(float32|fraction).*)/, 'float32'],
  [/^(maximum|minimum) (.*int32.*)/, 'int32'],
  [/^(maximum|minimum) (.*uint8.*)/, 'uint8'],
  // Products and powers of integers are taken as float32, and dtypes promote.
  [/^matmul (float64 (\w+\d+)|(\w+\d+) float64)$/, 'float64'],
  [/^pow (int32|uint8|integer) (int32|uint8|integer)$/, 'float32'],
  [/^matmul (\w+\d+) (\w+\d+)$/, 'float32'],
];
