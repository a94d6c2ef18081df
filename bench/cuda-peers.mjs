// The peers of bench/cuda.mjs, each in a Python of its own: PyTorch for what it has, cuSPARSE through CuPy for tridiagonal
// systems. The Python is FLUXION_BENCH_PYTHON, else python3. A peer that is missing has a reason and no rows.

import { execFileSync, spawnSync } from 'node:child_process';
import path from 'node:path';
import { fileURLToPath } from 'node:url';

const here = path.dirname(fileURLToPath(import.meta.url));

const PEERS = [
  {
    name: 'PyTorch',
    program: 'torch_cuda.py',
    probe: 'import sys, torch; sys.exit(0 if torch.cuda.is_available() else 3)',
    has: ({ peer }) => peer !== 'tridiagonal',
  },
  {
    name: 'CuPy',
    program: 'cupy_tridiagonal.py',
    probe:
      'import sys, cupy\ntry: cupy.cuda.runtime.getDeviceCount()\nexcept cupy.cuda.runtime.CUDARuntimeError: sys.exit(3)',
    has: ({ name, peer }) => peer === 'tridiagonal' && name.endsWith('/forward'),
  },
];

function unavailable(python, { name, probe }) {
  const { status } = spawnSync(python, ['-c', probe]);
  if (status === 0) return undefined;
  return status === 3 ? `${name} sees no GPU` : `no Python with ${name} was found (${python})`;
}

/** { rows: by case name, about: by peer }; `asked` false: nobody is asked. */
export function timesOfPeers(definitions, samples, asked) {
  const python = process.env.FLUXION_BENCH_PYTHON ?? 'python3';
  const [rows, about] = [{}, {}];
  for (const peer of PEERS) {
    const cases = definitions.filter(peer.has);
    if (cases.length === 0) continue;
    const reason = asked ? unavailable(python, peer) : 'not asked for';
    if (reason !== undefined) {
      console.error(`${peer.name} is left out: ${reason}`);
      about[peer.name] = { reason };
      continue;
    }
    const input = cases.map(({ name, peer: kind, shape, settings }) => ({
      ...{ name, peer: kind, shape, settings },
    }));
    const output = execFileSync(python, [path.join(here, 'peers', peer.program)], {
      input: JSON.stringify({ cases: input, samples }),
      encoding: 'utf8',
      maxBuffer: 2 ** 26,
      stdio: ['pipe', 'pipe', 'inherit'],
    });
    const { rows: times, ...state } = JSON.parse(output);
    about[peer.name] = state;
    for (const [name, row] of Object.entries(times)) rows[name] = { peer: peer.name, ...row };
  }
  return { rows, about };
}
