import { config, devices } from '../tensor/runtime';
import { memory } from '../tensor/tensor';

/** Bytes in the largest unit of which there is at least one. */
function bytes(count: number): string {
  const units = ['B', 'KiB', 'MiB', 'GiB', 'TiB'];
  const power = Math.min(count > 0 ? Math.floor(Math.log2(count) / 10) : 0, units.length - 1);
  return `${Number((count / 1024 ** power).toFixed(1))} ${units[power]}`;
}

/** `fluxion info`: what a bug report needs. */
export function infoCommand(): void {
  const { version, instructionSet, instructionSets, threads } = config();
  const used = memory();
  const rows: [string, string][] = [
    ['fluxion', version],
    ['node', process.version],
    ['platform', `${process.platform}-${process.arch}`],
    ['instructions', `${instructionSet} (present: ${instructionSets.join(', ')})`],
    ['threads', String(threads)],
    ...devices().map(({ device, name, memory: size, reason }): [string, string] => [
      `device ${device}`,
      reason ? `cannot be used: ${reason}` : `${name}${size ? `, ${bytes(size)}` : ''}`,
    ]),
    ['tensors', `${used.tensors}, ${bytes(used.bytes)}`],
  ];
  const width = Math.max(...rows.map(([name]) => name.length)) + 2;
  for (const [name, value] of rows) console.log(name.padEnd(width) + value);
}
