// Where Fluxion's results differ from PyTorch's. An entry is the label of a record, or how labels begin.

/** Records of operators that are not built yet. */
export const PENDING: readonly string[] = [];

/** Records that differ on purpose, and why: docs/pytorch-differences.md. */
export const DIFFERENT: Readonly<Record<string, string>> = {};

/** Calls that PyTorch refuses and Fluxion answers, and with what. */
export const NOT_REFUSED: Readonly<Record<string, string>> = {};

/** `op operand operand` -> the dtype of Fluxion's result where PyTorch has another. */
export const DIFFERENT_PROMOTION: Readonly<Record<string, string>> = {};
