// Two copies of the library in one process, as bundlers and nested dependencies make them.
import type * as Fluxion from '../../lib';

function loadCopy(): typeof Fluxion {
  let copy: typeof Fluxion | undefined;
  jest.isolateModules(() => {
    copy = jest.requireActual<typeof Fluxion>('../../lib');
  });
  return copy!;
}

test('copies keep their tensors, errors and random numbers apart', () => {
  const a = loadCopy();
  const b = loadCopy();
  expect(a.Tensor).not.toBe(b.Tensor);
  const x = a.tensor([1, 2, 3]);
  expect(b.memory().tensors).toBe(0);
  expect(() => b.add(x as never, 1)).toThrow('a tensor of another copy of fluxion');
  a.manualSeed(3);
  b.manualSeed(3);
  expect(a.randn([5]).dataSync()).toEqual(b.randn([5]).dataSync());
});

test('errors of the addon are FluxionErrors of its own copy', () => {
  const a = loadCopy();
  let error: unknown;
  try {
    a.add(a.tensor([1, 2]), a.tensor([1, 2, 3]));
  } catch (caught) {
    error = caught;
  }
  expect(error).toBeInstanceOf(a.FluxionError);
  expect(error).toMatchObject({ code: 'FLUXION_SHAPE_MISMATCH', op: 'add', name: 'FluxionError' });
});
