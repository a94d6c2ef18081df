import { FluxionError, requireArgument, show } from '../errors';
import { overwrite } from '../tensor/assign';
import { type DeviceName, deviceName, requireDevice } from '../tensor/device';
import { Graph } from '../tensor/recording';
import { sameShape } from '../tensor/shape';
import { type Tensor, isTensor } from '../tensor/tensor';
import { keep, noGrad, tidy } from '../autograd/tidy';
import { withDefaults } from '../ops/define';
import { clone, to } from '../ops/shape';

export interface CaptureOptions {
  /** Where the step runs. Default 'cuda'. */
  device?: DeviceName;
  /** Calls that run operation by operation before the step is recorded. Default 2, at least 1. */
  warmUp?: number;
}

/** A step that is recorded once and then replayed by the GPU without the host. */
export interface CapturedStep<A extends readonly Tensor[]> {
  /** Runs the step on these inputs. The tensors it gives are overwritten by the next call. */
  (...inputs: A): readonly Tensor[];
  /** Whether the step has been recorded: calls are replays from now on. */
  readonly recorded: boolean;
  /** Gives the memory of the graph back. */
  dispose(): void;
}

class Capture<A extends readonly Tensor[]> {
  private calls = 0;
  private graph: Graph | null = null;
  private inputs: readonly Tensor[] = [];
  private outputs: readonly Tensor[] = [];
  private disposed = false;

  constructor(
    private readonly step: (...inputs: A) => Tensor | readonly Tensor[] | void,
    private readonly device: number,
    private readonly warmUp: number,
  ) {}

  get recorded(): boolean {
    return this.graph !== null;
  }

  call(inputs: A): readonly Tensor[] {
    if (this.disposed) {
      throw new FluxionError('FLUXION_DISPOSED', 'capture', 'the captured step has been disposed');
    }
    this.checkInputs(inputs);
    if (this.calls++ < this.warmUp) return this.run(inputs);
    const first = this.graph === null;
    if (first) this.record(inputs);
    noGrad(() => tidy(() => this.inputs.forEach((own, i) => writeInto(own, inputs[i]!))));
    this.graph!.replay(first);
    return this.outputs;
  }

  dispose(): void {
    if (this.disposed) return;
    this.disposed = true;
    for (const tensor of [...this.inputs, ...this.outputs]) tensor.dispose();
    this.graph?.dispose();
    this.graph = null;
  }

  private checkInputs(inputs: A): void {
    inputs.forEach((input, i) => {
      requireArgument(isTensor(input), 'capture', () => `input ${i} must be a tensor`);
      if (this.graph === null) return;
      const own = this.inputs[i];
      if (own && sameShape(own.shape, input.shape) && own.dtype === input.dtype) return;
      throw new FluxionError(
        'FLUXION_SHAPE_MISMATCH',
        'capture',
        `input ${i} must be as in the recorded call, got ${input.dtype} of shape ${show([...input.shape])}`,
      );
    });
    requireArgument(
      this.graph === null || inputs.length === this.inputs.length,
      'capture',
      () => `the recorded step takes ${this.inputs.length} inputs, got ${inputs.length}`,
    );
  }

  private run(inputs: A): readonly Tensor[] {
    for (const tensor of this.outputs) tensor.dispose();
    this.outputs = tidy(() => listOf(this.step(...inputs)).map((t) => keep(t)));
    return this.outputs;
  }

  /** Inputs and outputs keep their memory from now on. */
  private record(inputs: A): void {
    for (const tensor of this.outputs) tensor.dispose();
    this.outputs = [];
    const place = deviceName(this.device) as DeviceName;
    this.inputs = noGrad(() =>
      inputs.map((t) => {
        const moved = to(t, place);
        return keep(moved === t ? clone(t) : moved);
      }),
    );
    this.inputs.forEach((own, i) => (own.requiresGrad = inputs[i]!.requiresGrad));
    try {
      this.graph = Graph.record(this.device, () => {
        this.outputs = tidy(() => listOf(this.step(...(this.inputs as A))).map((t) => keep(t)));
      });
    } catch (error) {
      for (const own of this.inputs) own.dispose();
      this.inputs = [];
      throw error;
    }
  }
}

/** New contents for an input of the graph, in the memory that the graph reads. */
function writeInto(own: Tensor, given: Tensor): void {
  overwrite(own, to(given, own.device as DeviceName));
}

function listOf(result: Tensor | readonly Tensor[] | void): readonly Tensor[] {
  if (result === undefined) return [];
  const list = isTensor(result) ? [result] : result;
  requireArgument(
    Array.isArray(list) && list.every(isTensor),
    'capture',
    () => `the step must return tensors or nothing, got ${show(result)}`,
  );
  return list;
}

/**
 * Records a whole step (forward, backward, optimizer) into a graph of the GPU and replays it: one call of
 * the driver instead of one for each operation. The first `warmUp` calls run operation by operation, the next
 * one records, and all are real steps. What the host decides from step to step goes on in replays: learning
 * rates and step numbers of the optimizers, the stream of random numbers. Anything else that the function
 * does outside of tensors happens in the first calls only.
 *
 * Inputs are copied into the graph's own tensors; their shapes stay as recorded. Gradients and the returned
 * tensors keep their memory, and the next call overwrites them.
 *
 * Errors: FLUXION_UNSUPPORTED for a device without graphs ('cpu'), for a value that is read within the step
 * (`item`, `data`), and for an updated tensor that is a view; FLUXION_SHAPE_MISMATCH for inputs of another
 * shape than the recorded ones.
 *
 * @example
 * const step = capture((x, y) => {
 *   optimizer.zeroGrad();
 *   const loss = nn.functional.crossEntropy(model.forward(x), y);
 *   loss.backward();
 *   optimizer.step();
 *   return loss;
 * });
 */
export function capture<A extends readonly Tensor[]>(
  step: (...inputs: A) => Tensor | readonly Tensor[] | void,
  options?: CaptureOptions,
): CapturedStep<A> {
  requireArgument(typeof step === 'function', 'capture', () => `step must be a function`);
  const { device, warmUp } = withDefaults<Required<CaptureOptions>>('capture', options, {
    device: 'cuda',
    warmUp: 2,
  });
  requireArgument(
    Number.isInteger(warmUp) && warmUp >= 1,
    'capture',
    () => `warmUp must be an integer >= 1, got ${show(warmUp)}`,
  );
  const index = requireDevice('capture', device);
  if (index === 0) {
    throw new FluxionError(
      'FLUXION_UNSUPPORTED',
      'capture',
      "device 'cpu' has no graphs; a step is captured on a GPU",
    );
  }
  const own = new Capture(step, index, warmUp);
  const call = (...inputs: A) => own.call(inputs);
  Object.defineProperty(call, 'recorded', { get: () => own.recorded });
  return Object.assign(call, { dispose: () => own.dispose() }) as CapturedStep<A>;
}
