/**
 * Random numbers of the host: which sample comes when, how an image is shifted. xoshiro128++ of Blackman
 * and Vigna (2021), seeded through the finalizer of MurmurHash3.
 *
 * A stream is named by numbers (seed, epoch, batch): its values do not depend on what was drawn before, so
 * that a resumed run continues anywhere without replaying.
 */
export class Random {
  private readonly s: [number, number, number, number];

  constructor(...name: readonly number[]) {
    let hash = 0x9e3779b9;
    const absorb = (word: number) => {
      hash = mix(Math.imul(hash ^ word, 0x85ebca6b) + 0x9e3779b9);
    };
    for (const part of name) {
      absorb(part | 0);
      absorb(Math.floor(part / 2 ** 32) | 0);
    }
    const word = (i: number) => mix(hash + Math.imul(i, 0x9e3779b9));
    this.s = [word(1), word(2), word(3), word(4) | 1];
  }

  /** An integer in [0, 2^32), uniformly distributed. */
  uint32(): number {
    const { s } = this;
    const result = (rotate((s[0] + s[3]) | 0, 7) + s[0]) >>> 0;
    const t = s[1] << 9;
    s[2] ^= s[0];
    s[3] ^= s[1];
    s[1] ^= s[2];
    s[0] ^= s[3];
    s[2] ^= t;
    s[3] = rotate(s[3], 11);
    return result;
  }

  /** An integer in [0, n), n <= 2^32, without bias. */
  below(n: number): number {
    const limit = Math.floor(2 ** 32 / n) * n;
    for (;;) {
      const value = this.uint32();
      if (value < limit) return value % n;
    }
  }

  /** A number in [0, 1). */
  uniform(): number {
    return this.uint32() / 2 ** 32;
  }

  /** A normally distributed number (Box and Muller). */
  normal(): number {
    return Math.sqrt(-2 * Math.log(1 - this.uniform())) * Math.cos(2 * Math.PI * this.uniform());
  }

  /** 0 ... n - 1 in random order (Fisher and Yates). */
  permutation(n: number): Uint32Array {
    const order = Uint32Array.from({ length: n }, (_, i) => i);
    for (let i = n - 1; i > 0; i--) {
      const j = this.below(i + 1);
      const other = order[j]!;
      order[j] = order[i]!;
      order[i] = other;
    }
    return order;
  }
}

function rotate(x: number, k: number): number {
  return (x << k) | (x >>> (32 - k));
}

function mix(x: number): number {
  let h = x | 0;
  h = Math.imul(h ^ (h >>> 16), 0x85ebca6b);
  h = Math.imul(h ^ (h >>> 13), 0xc2b2ae35);
  return h ^ (h >>> 16);
}
