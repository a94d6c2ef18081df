import { requireArgument, show } from '../errors';
import { withDefaults } from '../ops/define';
import type { HostArray } from './host-array';
import { Random } from './random';

export interface QTipsOptions {
  /** Number of images. Default 1024. */
  samples?: number;
  /** Height and width. Default 64. */
  side?: number;
  /** Shortest and longest bar. Default [32, 59] of 64, in proportion for other sides. */
  lengths?: readonly [number, number];
  /** Default 123. */
  seed?: number;
}

const BACKGROUND = 112;
const BAR = 128;
const WIDTH = 2;
/** Length of the mark at each end of the bar. */
const TIP = 4;
/** Values of the two tips of class 1, 2 and 3. */
const TIPS = [
  [255, 255],
  [255, 1],
  [1, 1],
] as const;

/**
 * The Q-tips images: a bar in the middle at a random angle, whose class is told by the marks at both ends (white and
 * white, white and black, black and black). Every pixel of the bar is to be labelled with the class, so that a network
 * must see from one end to the other.
 *
 * Returns images [samples, 1, side, side] (background 112, bar 128, marks 255 and 1) and labels [samples, side, side]
 * (0 background, 1 to 3 the classes), uint8; the same for the same options.
 *
 * Source: sizes, values and classes as in the data of IMEXnet (Haber et al., ICML 2019); the shape of the marks, bars of
 * the same width over the last 4 pixels, is ours.
 */
export function qTips(options?: QTipsOptions): { images: HostArray; labels: HostArray } {
  const side = options?.side ?? 64;
  const o = withDefaults<Required<QTipsOptions>>('qTips', options, {
    samples: 1024,
    side,
    lengths: [Math.round(side / 2), Math.round((59 / 64) * side)],
    seed: 123,
  });
  const [shortest, longest] = o.lengths;
  requireArgument(
    Number.isInteger(o.samples) && o.samples >= 0,
    'qTips',
    () => `samples must be an integer >= 0, got ${show(o.samples)}`,
  );
  requireArgument(
    Number.isInteger(side) && side >= 4 * TIP,
    'qTips',
    () => `side must be an integer >= ${4 * TIP}, got ${show(side)}`,
  );
  requireArgument(
    Number.isInteger(shortest) &&
      Number.isInteger(longest) &&
      2 * TIP <= shortest &&
      shortest <= longest &&
      longest <= side,
    'qTips',
    () => `lengths must be integers from ${2 * TIP} to ${side} in order, got ${show(o.lengths)}`,
  );
  const plane = side * side;
  const images = new Uint8Array(o.samples * plane).fill(BACKGROUND);
  const labels = new Uint8Array(o.samples * plane);
  for (let n = 0; n < o.samples; n++) {
    const random = new Random(o.seed, n);
    const kind = random.below(3);
    const half = (shortest + random.below(longest - shortest + 1)) / 2;
    const angle = (2 * random.uniform() - 1) * Math.PI;
    const [cos, sin] = [Math.cos(angle), Math.sin(angle)];
    for (let i = 0; i < plane; i++) {
      const [y, x] = [Math.floor(i / side) - (side - 1) / 2, (i % side) - (side - 1) / 2];
      const along = cos * x + sin * y;
      if (Math.abs(along) > half || Math.abs(cos * y - sin * x) > WIDTH / 2) continue;
      const inTip = Math.abs(along) > half - TIP;
      images[n * plane + i] = inTip ? TIPS[kind]![along < 0 ? 0 : 1] : BAR;
      labels[n * plane + i] = kind + 1;
    }
  }
  return {
    images: { data: images, shape: [o.samples, 1, side, side] },
    labels: { data: labels, shape: [o.samples, side, side] },
  };
}
