// One trial of one case, as a process of its own:
//
//   node build/bench/trial.js <case> [--small] [--no-verify] [--threads N]
//
// Prints a line of JSON. A wrong result is an error, and then there is no time.

import { parseArgs } from 'node:util';
import { config, setNumThreads, tidy, zeros } from 'fluxion';
import { type Case, type Instance } from './case';
import { selectCases } from './cases';
import { setsFor } from './machine';
import { QUICK, STANDARD, type Timing, measure } from './measure';

export interface TrialOptions {
  /** The small sizes and a few short samples. */
  small?: boolean;
  verify?: boolean;
}

export interface TrialReport extends Timing {
  case: string;
  /** Whether the result was compared with the reference. */
  verified: boolean;
  /** Sets of inputs that the calls went through in turn. */
  sets: number;
  threads: number;
  instructionSet: string;
  /** Growth of the peak of resident memory over what was resident before the case was set up. */
  peakBytes: number;
}

async function timeCalls(instance: Instance, sets: number, small: boolean): Promise<Timing> {
  const fence = zeros([1]);
  const finish = () => fence.item(); // the queue is in order: what it waits for includes every call
  const sample = async (calls: number, first: number) => {
    for (let i = 0; i < calls; i++) {
      const pending = tidy(() => {
        const result = instance.run((first + i) % sets);
        return result instanceof Promise ? result.then(() => undefined) : undefined;
      });
      if (pending) await pending;
    }
    finish();
  };
  return measure(sample, small ? QUICK : STANDARD);
}

/** Sets a case up, checks it and times it, in this process. */
export async function runTrial(definition: Case, options: TrialOptions = {}): Promise<TrialReport> {
  const { small = false, verify = true } = options;
  const sizes = small ? definition.small : definition.sizes;
  const sets = small ? 2 : setsFor(definition.inputBytes(sizes));
  const before = process.memoryUsage.rss();
  const instance = definition.setup(sizes, sets);
  if (verify) await instance.verify();
  const timing = await timeCalls(instance, sets, small);
  const each = (ns: number) => ns / (definition.operations?.(sizes) ?? 1);
  const { threads, instructionSet } = config();
  return {
    case: definition.name,
    verified: verify,
    sets,
    ...{ threads, instructionSet },
    median: each(timing.median),
    mad: each(timing.mad),
    samples: timing.samples.map(each),
    calls: timing.calls,
    peakBytes: process.resourceUsage().maxRSS * 1024 - before,
  };
}

async function main(): Promise<void> {
  const { values, positionals } = parseArgs({
    allowPositionals: true,
    options: {
      small: { type: 'boolean', default: false },
      'no-verify': { type: 'boolean', default: false },
      threads: { type: 'string' },
    },
  });
  const definition = selectCases(positionals).find(({ name }) => name === positionals[0]);
  if (!definition) throw new Error(`no case is named '${positionals[0]}'`);
  if (values.threads) setNumThreads(Number(values.threads));
  const report = await runTrial(definition, {
    small: values.small,
    verify: !values['no-verify'],
  });
  console.log(JSON.stringify(report));
}

if (require.main === module) void main();
