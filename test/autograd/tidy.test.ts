import { type Tensor, keep, memory, noGrad, sum, tensor, tidy } from '../../lib';

const live = () => memory().tensors;
const make = (value = 1) => tensor([value, value]);

describe('tidy', () => {
  test('releases what its function made', () => {
    const before = live();
    const value = tidy(() => make(2).mul(3).sum().item());
    expect(value).toBe(12);
    expect(live()).toBe(before);
  });

  test('lets out what is returned, in structures too', () => {
    const before = live();
    const result = tidy(() => {
      make().mul(2);
      return {
        list: [make(1), make(2)],
        map: new Map([['a', make(3)]]),
        set: new Set([make(4)]),
        n: 5,
      };
    });
    expect(live()).toBe(before + 4);
    expect([...result.map.get('a')!.dataSync()]).toEqual([3, 3]);
    [...result.list, ...result.map.values(), ...result.set].forEach((t) => t.dispose());
    expect(live()).toBe(before);
  });

  test('hands what escapes to the scope outside', () => {
    const before = live();
    tidy(() => {
      const inner = tidy(() => make().mul(2));
      expect(inner.disposed).toBe(false);
      expect(live()).toBe(before + 1);
    });
    expect(live()).toBe(before);
  });

  test('leaves tensors of outside alone', () => {
    const outside = make();
    tidy(() => {
      outside.mul(2);
    });
    expect(outside.disposed).toBe(false);
    expect(tidy(() => outside)).toBe(outside);
    outside.dispose();
  });

  test('leaves kept tensors alone', () => {
    const before = live();
    let kept!: Tensor;
    tidy(() => {
      kept = keep(make(7));
    });
    expect([...kept.dataSync()]).toEqual([7, 7]);
    kept.dispose();
    expect(live()).toBe(before);
  });

  test('releases when its function throws', () => {
    const before = live();
    expect(() =>
      tidy(() => {
        make();
        throw new Error('stop');
      }),
    ).toThrow('stop');
    expect(live()).toBe(before);
  });

  test('ends when its function throws after keeping a recorded tensor', () => {
    const w = tensor([1], { requiresGrad: true });
    let kept!: Tensor;
    expect(() =>
      tidy(() => {
        kept = keep(w.mul(w));
        throw new Error('stop');
      }),
    ).toThrow('stop');
    tidy(() => sum(kept).backward());
    expect(w.grad!.item()).toBe(2);
    [w, kept].forEach((t) => t.dispose());
  });

  test('collects through noGrad', () => {
    const before = live();
    tidy(() => {
      noGrad(() => make().mul(2));
    });
    expect(live()).toBe(before);
  });

  test('keeps the record of what it returns', () => {
    const w = tensor([3], { requiresGrad: true });
    const loss = tidy(() => sum(tidy(() => w.mul(w)).mul(2)));
    loss.backward();
    expect(w.grad!.item()).toBe(12);
    [w, loss].forEach((t) => t.dispose());
  });
});

describe('asynchronous tidy', () => {
  const turn = () => new Promise((resolve) => setImmediate(resolve));

  test('follows its function through awaits', async () => {
    const before = live();
    const result = await tidy(async () => {
      const a = make(1);
      await turn();
      const b = a.mul(2);
      await b.data();
      return b.add(1);
    });
    expect([...result.dataSync()]).toEqual([3, 3]);
    expect(live()).toBe(before + 1);
    result.dispose();
  });

  test('keeps scopes that run at the same time apart', async () => {
    const before = live();
    const job = (value: number) =>
      tidy(async () => {
        const a = make(value);
        await turn();
        const b = tidy(() => a.mul(2).add(1));
        await turn();
        return (await b.sum().data())[0];
      });
    expect(await Promise.all([job(1), job(2), job(3)])).toEqual([6, 10, 14]);
    expect(live()).toBe(before);
  });

  test('leaves tensors made outside meanwhile alone', async () => {
    const pending = tidy(async () => {
      await turn();
      make();
    });
    const outside = make(5);
    await pending;
    expect([...outside.dataSync()]).toEqual([5, 5]);
    outside.dispose();
  });

  test('releases when its promise is rejected', async () => {
    const before = live();
    const failing = tidy(async () => {
      make();
      await turn();
      make();
      throw new Error('stop');
    });
    await expect(failing).rejects.toThrow('stop');
    expect(live()).toBe(before);
  });

  test('works inside an asynchronous tidy', async () => {
    const before = live();
    await tidy(async () => {
      const inner = await tidy(async () => {
        await turn();
        return make(2);
      });
      expect(inner.disposed).toBe(false);
      await turn();
      expect([...inner.dataSync()]).toEqual([2, 2]);
    });
    expect(live()).toBe(before);
  });
});

describe('dispose', () => {
  test('releases at once, and again does nothing', () => {
    const before = memory().bytes;
    const t = tensor(new Float32Array(1000));
    expect(memory().bytes).toBeGreaterThan(before);
    t.dispose();
    t.dispose();
    expect(memory().bytes).toBe(before);
    expect(t.disposed).toBe(true);
  });

  test('is what a using declaration calls', () => {
    const t = make();
    t[Symbol.dispose]();
    expect(t.disposed).toBe(true);
  });

  test('makes every use an error', async () => {
    const t = make();
    t.dispose();
    const disposed = expect.objectContaining({ code: 'FLUXION_DISPOSED' }) as Error;
    expect(() => t.dataSync()).toThrow(disposed);
    expect(() => t.mul(2)).toThrow(disposed);
    expect(() => tidy(() => make().add(t))).toThrow(disposed);
    expect(() => t.detach()).toThrow(disposed);
    await expect(t.data()).rejects.toThrow(disposed);
  });

  test('of a tensor leaves the views on it alive', () => {
    const t = tensor([
      [1, 2],
      [3, 4],
    ]);
    const view = tidy(() => t.select(0, 1));
    t.dispose();
    expect([...view.dataSync()]).toEqual([3, 4]);
    view.dispose();
  });

  test('takes the gradient along', () => {
    const before = live();
    const w = tensor([1], { requiresGrad: true });
    tidy(() => w.mul(2).backward());
    w.dispose();
    expect(live()).toBe(before);
  });
});
