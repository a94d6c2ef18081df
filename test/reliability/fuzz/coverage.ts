// Which statements and branches of some files an execution reaches, and how often: counters that Istanbul puts into
// their code as it is loaded.
import Module from 'node:module';
import { createInstrumenter } from 'istanbul-lib-instrument';

interface Counters {
  s: Record<string, number>;
  b: Record<string, number[]>;
}

type Compile = (this: unknown, content: string, filename: string) => unknown;

/** From now on files whose path matches are loaded with counters. */
export function instrument(matches: RegExp): void {
  const prototype = Module.prototype as unknown as { _compile: Compile };
  const compile = prototype._compile;
  const instrumenter = createInstrumenter({ compact: true, esModules: false });
  prototype._compile = function (content, filename) {
    const counted = matches.test(filename)
      ? instrumenter.instrumentSync(content, filename)
      : content;
    return compile.call(this, counted, filename);
  };
}

/** Powers of two, roughly: how often counts as new behaviour. */
function bucketOf(count: number): number {
  if (count < 4) return count;
  return count < 8 ? 4 : count < 16 ? 5 : count < 32 ? 6 : count < 128 ? 7 : 8;
}

export class Coverage {
  private readonly seen = new Map<string, Uint16Array>();

  /** Sets every counter to 0. */
  reset(): void {
    this.visit(() => false);
  }

  /** Whether the execution since the last reset did something that none did before. */
  isNew(): boolean {
    let found = false;
    this.visit((seen, at, count) => {
      const bit = 1 << bucketOf(count);
      if ((seen[at]! & bit) !== 0) return false;
      seen[at]! |= bit;
      found = true;
      return true;
    });
    return found;
  }

  /** Counters that any execution has reached, and all. */
  totals(): { reached: number; counters: number } {
    let [reached, counters] = [0, 0];
    for (const seen of this.seen.values()) {
      counters += seen.length;
      for (const bits of seen) if (bits !== 0) reached++;
    }
    return { reached, counters };
  }

  /** Calls `use` for each counter that is not 0 and clears it. */
  private visit(use: (seen: Uint16Array, at: number, count: number) => boolean): void {
    const files = (globalThis as { __coverage__?: Record<string, Counters> }).__coverage__ ?? {};
    for (const [file, { s, b }] of Object.entries(files)) {
      const lists = Object.values(b);
      let seen = this.seen.get(file);
      if (!seen) {
        const length = Object.keys(s).length + lists.reduce((n, list) => n + list.length, 0);
        this.seen.set(file, (seen = new Uint16Array(length)));
      }
      let at = 0;
      for (const key in s) {
        if (s[key]! > 0) {
          use(seen, at, s[key]!);
          s[key] = 0;
        }
        at++;
      }
      for (const list of lists) {
        for (let i = 0; i < list.length; i++, at++) {
          if (list[i]! > 0) use(seen, at, list[i]!);
          list[i] = 0;
        }
      }
    }
  }
}
