import { requireArgument, show } from '../errors';
import { assign } from '../tensor/assign';
import type { Tensor } from '../tensor/tensor';
import { noGrad, tidy } from '../autograd/tidy';
import { withDefaults } from '../ops/define';
import { mul } from '../ops/elementwise';
import { embedding } from '../ops/shape-index';
import { ones, zeros } from '../ops/creation';
import { cat } from '../ops/shape';
import { normalParameter } from './initialization';
import { requireSizes } from './linear';
import { Module } from './module';

export interface EmbeddingOptions {
  /** Row that starts as 0 and gets no gradient; negative ones count from the back. Default none. */
  paddingIdx?: number | null;
}

/** Rows of a table by index: [...] -> [..., embeddingDim]. weight [numEmbeddings, embeddingDim], normal at first. */
export class Embedding extends Module {
  readonly weight: Tensor;
  readonly paddingIdx: number | null;

  constructor(numEmbeddings: number, embeddingDim: number, options?: EmbeddingOptions) {
    super();
    requireSizes('Embedding', { numEmbeddings, embeddingDim });
    const { paddingIdx } = withDefaults<Required<EmbeddingOptions>>('Embedding', options, {
      paddingIdx: null,
    });
    requireArgument(
      paddingIdx === null ||
        (Number.isInteger(paddingIdx) &&
          paddingIdx >= -numEmbeddings &&
          paddingIdx < numEmbeddings),
      'Embedding',
      () =>
        `paddingIdx must be an integer in [${-numEmbeddings}, ${numEmbeddings}), got ${show(paddingIdx)}`,
    );
    this.weight = normalParameter([numEmbeddings, embeddingDim], 1);
    this.paddingIdx =
      paddingIdx !== null && paddingIdx < 0 ? paddingIdx + numEmbeddings : paddingIdx;
    if (this.paddingIdx !== null) this.clearRow(this.paddingIdx);
  }

  private clearRow(row: number): void {
    const rows = this.weight.shape[0]!;
    const { device } = this.weight;
    const mask = () =>
      cat([
        ones([row, 1], { device }),
        zeros([1, 1], { device }),
        ones([rows - row - 1, 1], { device }),
      ]);
    noGrad(() => tidy(() => assign(this.weight, mul(this.weight, mask()))));
  }

  forward(indices: Tensor): Tensor {
    return embedding(indices, this.weight, { paddingIdx: this.paddingIdx });
  }
}
