import { AsyncLocalStorage } from 'node:async_hooks';

/** What a scope releases at its end, unless it escapes. */
export interface Scoped {
  /** True once it is released. */
  readonly disposed: boolean;
  /** True after keep(): no scope releases it. */
  kept: boolean;
  dispose(): void;
}

/** What a scope asks the tape to drop: the saved tensors of an operation whose result nobody can reach. */
export interface ScopedNode {
  /** Releases what the node saved. */
  release(): void;
}

/** State that follows the flow of control, through awaits too. */
export class Context {
  readonly tensors: Scoped[] = [];
  nodes: ScopedNode[] = [];
  constructor(
    readonly parent: Context | undefined,
    /** False: tensors are not collected here but in the nearest parent that does. */
    readonly collects: boolean,
    readonly gradEnabled: boolean,
  ) {}
}

const storage = new AsyncLocalStorage<Context | undefined>();
// The innermost context whose function is running synchronously now. After an await the store takes over.
let running: Context | undefined;
// How many asynchronous functions are in flight: while there is none, the store need not be asked.
let inFlight = 0;

export function currentContext(): Context | undefined {
  return running ?? (inFlight > 0 ? storage.getStore() : undefined);
}

export function gradEnabled(): boolean {
  return currentContext()?.gradEnabled ?? true;
}

/** The nearest context that collects tensors: the given one or one around it. */
export function collectorOf(context: Context | undefined): Context | undefined {
  while (context && !context.collects) context = context.parent;
  return context;
}

/** The innermost context that collects tensors. */
export function currentScope(): Context | undefined {
  return collectorOf(currentContext());
}

function isThenable(value: unknown): value is PromiseLike<unknown> {
  return typeof (value as { then?: unknown } | null)?.then === 'function';
}

/** Runs fn in a context and calls `end` when it has returned, its promise has settled, or it has thrown. */
export function runInContext<T>(
  context: Context,
  fn: () => T,
  end: (result: Awaited<T> | undefined) => void,
): T {
  const before = running;
  running = context;
  let result: T;
  try {
    result = storage.run(context, fn);
  } catch (error) {
    end(undefined);
    throw error;
  } finally {
    running = before;
  }
  if (!isThenable(result)) {
    end(result as Awaited<T>);
    return result;
  }
  inFlight++;
  const settle = (value: Awaited<T> | undefined) => {
    inFlight--;
    end(value);
  };
  return result.then(
    (value) => {
      settle(value as Awaited<T>);
      return value;
    },
    (error: unknown) => {
      settle(undefined);
      throw error;
    },
  ) as T;
}
