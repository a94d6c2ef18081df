import { execFileSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import path from 'node:path';
import type { Case, PeerName } from './case';
import { ROOT, setsFor } from './machine';

/** What a peer prints. */
export interface PeerReport {
  /** ns of a call. */
  samples: number[];
  median: number;
  calls: number;
  version: string;
  threads: number;
  /** Which of several ways to write the case was the fastest. */
  formulation?: string;
  /** Minor page faults: memory that was given back to the system and had to be mapped again. */
  pageFaultsPerCall?: number;
  /** Growth of the peak of resident memory over what was resident before the case was set up. */
  peakBytes?: number;
}

export interface Peer {
  name: PeerName;
  /** Heading of its column. */
  title: string;
  version: string;
  command: readonly string[];
  env: Readonly<Record<string, string>>;
}

const TORCH_DRIVER = path.join(ROOT, 'bench/peers/torch_driver.py');

/** glibc keeps freed memory instead of giving it back: no page is faulted in a second time. */
const KEEP_MEMORY = {
  MALLOC_MMAP_MAX_: '0',
  MALLOC_MMAP_THRESHOLD_: '4294967296',
  MALLOC_TRIM_THRESHOLD_: '4294967296',
  MALLOC_TOP_PAD_: '268435456',
};

/** A Python with PyTorch: FLUXION_BENCH_PYTHON, else python3. Null without. */
function torchVersion(python: string): string | null {
  try {
    const output = execFileSync(python, ['-B', TORCH_DRIVER, '--version'], {
      encoding: 'utf8',
      stdio: ['ignore', 'pipe', 'ignore'],
    });
    return output.trim();
  } catch {
    return null;
  }
}

/** FFTW's two ways to plan, where bench/native/fftw.cpp was built because the library is installed. */
function findFftw(): Peer[] {
  const program = path.join(ROOT, 'build/bench-native/bench_fftw');
  if (!existsSync(program)) return [];
  const version = execFileSync(program, ['--version'], { encoding: 'utf8' }).trim();
  return (['estimate', 'measure'] as const).map((effort) => ({
    name: `fftw-${effort}`,
    title: `FFTW, ${effort}`,
    version,
    command: [program, effort],
    env: {},
  }));
}

export function findPeers(): Peer[] {
  const program = path.join(__dirname, 'peers/typed_array.js');
  const peers: Peer[] = [
    {
      name: 'typed-array',
      title: 'typed arrays',
      version: process.version,
      command: [process.execPath, program],
      env: {},
    },
    ...findFftw(),
  ];
  const python = process.env.FLUXION_BENCH_PYTHON ?? 'python3';
  const version = torchVersion(python);
  if (version === null) return peers;
  const torch = { version, command: [python, '-B', TORCH_DRIVER] }; // -B: leave no bytecode behind
  return [
    { ...torch, name: 'torch', title: 'PyTorch', env: {} },
    { ...torch, name: 'torch-keep', title: 'PyTorch, memory kept', env: KEEP_MEMORY },
    ...peers,
  ];
}

/** One trial of a peer, as a process of its own. */
export function runPeer(peer: Peer, definition: Case, threads: number): PeerReport {
  const { sizes } = definition;
  const sets = setsFor(definition.inputBytes(sizes));
  const request = JSON.stringify({ peer: definition.peer, sizes, sets, threads });
  const [program, ...args] = peer.command;
  const output = execFileSync(program!, [...args, request], {
    encoding: 'utf8',
    env: { ...process.env, ...peer.env },
    maxBuffer: 2 ** 26,
  });
  return JSON.parse(output) as PeerReport;
}
