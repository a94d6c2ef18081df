// npm run reliability:memory
//
// Out of memory is an error and not the end: tensors larger than the memory of any machine, a limit of the address
// space (ulimit -v), the limit of FLUXION_MEMORY_LIMIT. Afterwards the process trains to the same bits as one that
// never ran out.
import { spawnSync } from 'node:child_process';
import path from 'node:path';
import type { Report } from './memory-child';
import { type Outcome, ROOT, argumentsOf, runRecorded } from './record';

interface Scene {
  name: string;
  scene: 'huge' | 'full';
  /** Gigabytes of address space. */
  addressSpace?: number;
  env?: Record<string, string>;
}

const SCENES: Scene[] = [
  { name: 'tensors larger than any memory', scene: 'huge' },
  { name: 'FLUXION_MEMORY_LIMIT=256M', scene: 'full', env: { FLUXION_MEMORY_LIMIT: '256M' } },
  // Node.js itself takes about 1 GB of address space, and 10 GB more for each WebAssembly memory.
  ...[2, 3, 4].map((gigabytes): Scene => ({
    name: `ulimit -v, ${gigabytes} GB`,
    scene: 'full',
    addressSpace: gigabytes,
    // The compiler of the TypeScript of these tests would reserve 1 GB at its start.
    env: { MIMALLOC_ARENA_RESERVE: '1024' },
  })),
];

function run({ scene, addressSpace, env }: Scene): Report | string {
  const program = path.join(__dirname, 'memory-child.ts');
  const node = [
    process.execPath,
    '--expose-gc',
    '-r',
    path.join(ROOT, 'test/register-typescript.cjs'),
    program,
  ];
  const limit = addressSpace ? `ulimit -v ${addressSpace * 1e6} && ` : '';
  const { status, signal, stdout, stderr } = spawnSync(
    'sh',
    ['-c', `${limit}exec "$@"`, 'sh', ...node, scene],
    { encoding: 'utf8', env: { ...process.env, ...env, FLUXION_NUM_THREADS: '2' } },
  );
  if (status === 0) return JSON.parse(stdout) as Report;
  return `it ended with ${signal ?? `status ${status}`}: ${stderr.slice(0, 300)}`;
}

function main(): Outcome {
  const details: string[] = [];
  let errors = 0;
  const hashes = new Set<string>();
  for (const scene of SCENES) {
    const report = run(scene);
    if (typeof report === 'string') {
      details.push(`${scene.name}: ${report}`);
      continue;
    }
    errors += report.errors;
    hashes.add(report.hash);
    if (report.errors === 0) details.push(`${scene.name}: nothing ran out of memory`);
    if (report.left !== 0) details.push(`${scene.name}: ${report.left} tensors are left`);
    for (const other of report.others) details.push(`${scene.name}: ${other}`);
    for (const code of new Set(report.codes))
      if (code !== 'FLUXION_OUT_OF_MEMORY') details.push(`${scene.name}: ${code}`);
  }
  if (hashes.size !== 1) details.push('training afterwards gave other bits');
  return {
    figures: {
      situations: SCENES.length,
      'allocations refused with FLUXION_OUT_OF_MEMORY': errors,
      'processes that ended': details.filter((text) => /it ended/.test(text)).length,
      'training afterwards with other bits': Math.max(0, hashes.size - 1),
    },
    failures: details.length,
    details,
  };
}

argumentsOf({});
void runRecorded('memory', main);
