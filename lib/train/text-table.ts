/** Lines of a table: the first column to the left, the others to the right; a rule below the head. */
export function textTable(rows: readonly (readonly string[])[], left = 1): string {
  const widths = rows[0]!.map((_, c) => Math.max(...rows.map((row) => row[c]!.length)));
  const lines = rows.map((row) =>
    row
      .map((cell, c) => (c < left ? cell.padEnd(widths[c]!) : cell.padStart(widths[c]!)))
      .join('  ')
      .trimEnd(),
  );
  const rule = '-'.repeat(Math.max(...lines.map((line) => line.length)));
  return [lines[0]!, rule, ...lines.slice(1)].join('\n');
}

const UNITS = ['', ' k', ' M', ' G', ' T', ' P'];

/** A count with three or four digits and a unit: 1234567 is '1.235 M'. */
export function shortCount(value: number): string {
  let unit = 0;
  let rest = value;
  for (; Math.abs(rest) >= 1000 && unit < UNITS.length - 1; unit++) rest /= 1000;
  return unit === 0 ? String(Math.round(rest)) : `${rest.toPrecision(4)}${UNITS[unit]!}`;
}
