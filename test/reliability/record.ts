// What a reliability command writes down: a file in docs/reliability, from which `npm run reliability:report` makes
// the tables of docs/reliability.md. Nobody edits either by hand.
import { execFileSync } from 'node:child_process';
import { mkdirSync, writeFileSync } from 'node:fs';
import { cpus } from 'node:os';
import path from 'node:path';

export const ROOT = path.join(__dirname, '..', '..');

/** Counts and measured figures by what they are; `failures` is what must be 0. */
export type Figures = Record<string, number | string>;

export interface Outcome {
  figures: Figures;
  failures: number;
  /** Descriptions of what failed, the first ones. */
  details?: string[];
}

/** `--name=value` arguments; numbers with defaults. Unknown ones are errors. */
export function argumentsOf<T extends Record<string, number | string>>(defaults: T): T {
  const values: Record<string, number | string> = { ...defaults };
  for (const argument of process.argv.slice(2)) {
    const [, name, text] = /^--([a-z-]+)=(.*)$/.exec(argument) ?? [];
    if (name === undefined || (name !== 'record' && !(name in defaults))) {
      throw new Error(
        `${argument}: arguments are ${['record', ...Object.keys(defaults)].map((key) => `--${key}=`).join(' ')}`,
      );
    }
    if (name !== 'record') values[name] = typeof defaults[name] === 'number' ? Number(text) : text!;
  }
  return values as T;
}

/** The file to record to: that of docs/reliability, or another, or none: --record=FILE, --record=. */
function recordFile(name: string): string | null {
  const given = process.argv.find((argument) => argument.startsWith('--record='));
  if (given === undefined) return path.join(ROOT, 'docs/reliability', `${name}.json`);
  const file = given.slice('--record='.length);
  return file === '' ? null : path.resolve(file);
}

function machine(): Figures {
  const node = process.version;
  return { processor: cpus()[0]!.model, cores: cpus().length, platform: process.platform, node };
}

function commit(): string {
  try {
    const text = (args: string[]) => execFileSync('git', args, { cwd: ROOT, encoding: 'utf8' });
    return text(['rev-parse', '--short', 'HEAD']).trim();
  } catch {
    return 'unknown';
  }
}

/** Runs a command of `npm run reliability:<name>` and records what came of it; exits with 1 after failures. */
export async function runRecorded(
  name: string,
  run: () => Promise<Outcome> | Outcome,
): Promise<void> {
  const begun = performance.now();
  const { figures, failures, details = [] } = await run();
  const seconds = Math.round((performance.now() - begun) / 100) / 10;
  const given = process.argv.slice(2).filter((argument) => !argument.startsWith('--record='));
  const record = {
    name,
    command: [`npm run reliability:${name}`, ...(given.length > 0 ? ['--', ...given] : [])].join(
      ' ',
    ),
    date: new Date().toISOString().slice(0, 10),
    commit: commit(),
    machine: machine(),
    seconds,
    figures,
    failures,
    ...(details.length > 0 ? { details: details.slice(0, 20) } : {}),
  };
  const file = recordFile(name);
  if (file) {
    mkdirSync(path.dirname(file), { recursive: true });
    writeFileSync(file, `${JSON.stringify(record, null, 2)}\n`);
  }
  console.log(JSON.stringify(record, null, 2));
  process.exitCode = failures > 0 ? 1 : 0;
}
