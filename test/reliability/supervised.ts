// A child process that reports by lines of JSON, watched by its parent: how it ended is part of the result.
import { spawn } from 'node:child_process';
import path from 'node:path';
import { createInterface } from 'node:readline';
import { ROOT } from './record';

export interface Supervision {
  program: string;
  args: readonly string[];
  env?: Record<string, string>;
  nodeOptions?: readonly string[];
  /** Milliseconds without a line after which it hangs. */
  patience: number;
}

/** Runs a TypeScript program and gives its lines to `take`; null when it ended by itself, else what ended it. */
export function supervise<T>(
  { program, args, env = {}, nodeOptions = [], patience }: Supervision,
  take: (line: T) => void,
): Promise<string | null> {
  const options = [...nodeOptions, '-r', path.join(ROOT, 'test/register-typescript.cjs')];
  const child = spawn(process.execPath, [...options, program, ...args], {
    env: { ...process.env, ...env },
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  let hung = false;
  let timer: NodeJS.Timeout;
  const watch = () => {
    clearTimeout(timer);
    timer = setTimeout(() => (hung = child.kill('SIGKILL')), patience);
  };
  watch();
  createInterface(child.stdout).on('line', (line) => {
    watch();
    take(JSON.parse(line) as T);
  });
  return new Promise((resolve) =>
    child.on('close', (code, signal) => {
      clearTimeout(timer);
      if (hung) resolve(`it did not end within ${patience / 1000} s`);
      else resolve(code === 0 ? null : `it ended with ${signal ?? `status ${code}`}`);
    }),
  );
}
