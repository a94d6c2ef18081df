import type { Allocate, HostArray, Sample } from './host-array';
import { allocateFresh, stackSamples, takeRows } from './host-array';
import { type ModuleReference, makeFromModule } from './module-reference';
import { applyPixelTransform } from './pixel-transforms';
import { Random } from './random';
import type { BatchPlace, PixelTransform, TransformFunction } from './transform';

/** Samples by index; each is a list of arrays, such as an image and a label (a number is an int32). */
export interface Dataset {
  readonly length: number;
  get(index: number): Sample | Promise<Sample>;
}

/** Where the samples of a maker come from. */
export type MakerSource =
  | { arrays: readonly HostArray[] }
  | { dataset: Dataset }
  /** A module whose function makes the Dataset. */
  | { datasetModule: ModuleReference };

export type Stage = PixelTransform | ModuleReference | TransformFunction;

/** Makes batches on the host: gathers samples, applies transforms. The same in the main thread and a worker. */
export class BatchMaker {
  private dataset: Dataset | null;
  private stages: readonly (PixelTransform | TransformFunction)[] | null = null;
  private loading: Promise<void> | null = null;

  constructor(
    private readonly source: MakerSource,
    private readonly given: readonly Stage[],
  ) {
    this.dataset = 'dataset' in source ? source.dataset : null;
  }

  async make(
    place: BatchPlace,
    batch: number,
    allocate: Allocate = allocateFresh,
  ): Promise<HostArray[]> {
    if (!this.stages) await (this.loading ??= this.load());
    const { source, dataset } = this;
    const { indices } = place;
    let arrays =
      'arrays' in source
        ? source.arrays.map((array) => takeRows(array, indices, allocate))
        : stackSamples(
            await Promise.all(Array.from(indices, async (index) => dataset!.get(index))),
            allocate,
          );
    const random = new Random(place.seed, place.epoch, batch + 1);
    this.stages!.forEach((stage, i) => {
      arrays =
        typeof stage === 'function'
          ? stage(arrays, random, place)
          : applyPixelTransform(stage, arrays, place, i, allocate);
    });
    return arrays;
  }

  /** Imports what is given by module. */
  private async load(): Promise<void> {
    if ('datasetModule' in this.source) {
      this.dataset = await makeFromModule<Dataset>('source', this.source.datasetModule);
    }
    const loaded = this.given.map(async (stage) =>
      'module' in stage ? makeFromModule<TransformFunction>('transform', stage) : stage,
    );
    this.stages = await Promise.all(loaded);
  }
}
