import { readFileSync } from 'node:fs';

/** The program that a page of the documentation is, and what it says that it prints. */
export interface PageProgram {
  source: string;
  /** Lines of output, `...` for what may differ. */
  expected: string[];
}

// A fence of js, or a comment with what readers need not see.
const PART = /^```js\n([\s\S]*?)^```$|^<!-- setup\n([\s\S]*?)^-->$/gm;
const PRINTS = /\/\/ => (.*)$/gm;

/** Puts the parts of a page together: one module, in the order of the page, line numbers kept. */
export function pageProgram(file: string): PageProgram {
  const page = readFileSync(file, 'utf8');
  let source = '';
  for (const part of page.matchAll(PART)) {
    const line = page.slice(0, part.index).split('\n').length; // that of the fence
    source += '\n'.repeat(line + 1 - source.split('\n').length) + (part[1] ?? part[2]);
  }
  return { source, expected: [...source.matchAll(PRINTS)].map((match) => match[1]!) };
}

/** Whether a printed line is the expected one. */
export function prints(expected: string, line: string | undefined): boolean {
  const pattern = expected
    .split('...')
    .map((text) => text.replace(/[.*+?^${}()|[\]\\]/g, '\\$&'))
    .join('.*');
  return line !== undefined && new RegExp(`^${pattern}$`).test(line);
}
