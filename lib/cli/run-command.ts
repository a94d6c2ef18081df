import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { createServer, type AddressInfo } from 'node:net';
import { availableParallelism, constants } from 'node:os';
import { requireArgument, show } from '../errors';

/** Time that processes have to end by themselves once one of them has failed. */
const GRACE_MS = 5000;

export interface RunOptions {
  nproc: string;
}

async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  server.close();
  return port;
}

/** What each process is told; the names are torchrun's. The cores are shared unless the user has set the threads. */
function environment(rank: number, count: number, port: number): NodeJS.ProcessEnv {
  return {
    FLUXION_NUM_THREADS: String(Math.max(1, Math.floor(availableParallelism() / count))),
    MASTER_ADDR: '127.0.0.1',
    MASTER_PORT: String(port),
    ...process.env,
    RANK: String(rank),
    LOCAL_RANK: String(rank),
    WORLD_SIZE: String(count),
    LOCAL_WORLD_SIZE: String(count),
  };
}

/** The exit code as a shell gives it. */
async function exitCode(child: ChildProcess): Promise<number> {
  const [code, signal] = (await once(child, 'exit')) as [number | null, NodeJS.Signals | null];
  return code ?? 128 + constants.signals[signal!];
}

/**
 * `fluxion run --nproc N script.js`: N processes of one script, which find their place in RANK and WORLD_SIZE. When one
 * fails the others are ended and its exit code is that of the command.
 */
export async function runCommand(
  script: string,
  args: string[],
  { nproc }: RunOptions,
): Promise<void> {
  const count = Number(nproc);
  requireArgument(
    Number.isInteger(count) && count >= 1 && count <= 1024,
    'run',
    () => `--nproc must be an integer in [1, 1024], got ${show(nproc)}`,
  );
  const port = await freePort();
  const children = Array.from({ length: count }, (_, rank) =>
    spawn(process.execPath, [...process.execArgv, script, ...args], {
      env: environment(rank, count, port),
      stdio: 'inherit',
    }),
  );
  const end = (signal: NodeJS.Signals) => children.forEach((child) => child.kill(signal));
  process.on('SIGTERM', end).on('SIGINT', end);
  let failed = 0;
  const watch = children.map(async (child) => {
    const code = await exitCode(child);
    if (code === 0 || failed !== 0) return;
    failed = code;
    end('SIGTERM');
    setTimeout(end, GRACE_MS, 'SIGKILL').unref();
  });
  await Promise.all(watch);
  process.exitCode = failed;
}
