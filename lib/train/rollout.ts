import { FluxionError, requireArgument, show } from '../errors';
import type { Tensor } from '../tensor/tensor';
import { noGrad, tidy } from '../autograd/tidy';
import { cat, reshape, slice } from '../ops';
import type { Model } from './metrics';

/**
 * Forecasts by a model that continues a sequence, each forecast from those before:
 *
 *     x_(t+1) ... x_(t+K) = model(x_(t-T+1), ..., x_t)
 *
 * The model sees the last T frames as channels, [N, T C, H, W], oldest first, and gives the next K frames,
 * [N, K C, H, W]; then the window moves on by K frames. T is the length of the history, K follows from the model.
 *
 * - `history` [N, T, C, H, W], or [N, T, H, W] for frames of one channel; any number of space dimensions with C.
 * - Returns [N, steps, C, H, W], or [N, steps, H, W]: as many frames as asked for.
 * - In eval mode, without gradients; the window and the frames that were made are all that stays in memory. With
 *   gradients, for a loss over several steps, call the model yourself.
 * - Errors: FLUXION_SHAPE_MISMATCH for an output that does not hold whole frames; FLUXION_INVALID_ARGUMENT for `steps`.
 *
 * @example
 * const past = data.movingMnist({ images, frames: 10 }).to('float32').div(255);  // [N, 10, 64, 64]
 * const future = train.rollout(model, past, 30);                                   // [N, 30, 64, 64]
 */
export function rollout(model: Model, history: Tensor, steps: number): Tensor {
  requireArgument(
    Number.isInteger(steps) && steps > 0,
    'rollout',
    () => `steps must be an integer > 0, got ${show(steps)}`,
  );
  const refuse = (requirement: string, value: unknown): never => {
    throw new FluxionError(
      'FLUXION_SHAPE_MISMATCH',
      'rollout',
      `${requirement}, got ${show(value)}`,
    );
  };
  if (history.ndim < 4) {
    refuse('history must be [N, T, H, W] or [N, T, C, ...space]', [...history.shape]);
  }
  const [samples, length, ...frame] = history.shape as [number, number, ...number[]];
  const single = history.ndim === 4;
  const channels = single ? 1 : frame[0]!;
  const space = single ? frame : frame.slice(1);
  const wasTraining = model.training;
  model.eval();
  try {
    return noGrad(() =>
      tidy(() => {
        const first = reshape(history, [samples, length * channels, ...space]);
        let window = first;
        const made: Tensor[] = [];
        for (let done = 0; done < steps;) {
          const seen = window;
          const [next, moved] = tidy(() => {
            const output = model.forward(seen);
            const count = output.shape[1]! / channels;
            if (!Number.isInteger(count) || count < 1 || output.ndim !== seen.ndim) {
              refuse(`the model must give whole frames of ${channels} channels`, [...output.shape]);
            }
            const from = count * channels;
            const joined = cat([seen, output], { dim: 1 });
            return [output, slice(joined, 1, from, from + length * channels).clone()] as const;
          });
          if (seen !== first) seen.dispose();
          made.push(next);
          window = moved;
          done += next.shape[1]! / channels;
        }
        const all = slice(cat(made, { dim: 1 }), 1, 0, steps * channels).clone();
        return reshape(all, [samples, steps, ...frame]);
      }),
    );
  } finally {
    model.train(wasTraining);
  }
}
