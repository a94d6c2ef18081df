// Positions given by a tensor: what the kernels cannot number is refused at the call.
import {
  embedding,
  full,
  gather,
  indexSelect,
  ones,
  rand,
  scatterAdd,
  tidy,
  zeros,
} from '../../lib';
import { describeOnCuda, errorOf, hostLayer } from './device';

const device = 'cuda';
/** The host execution layer refuses from 2^22 positions on, a GPU from 2^31. */
const testOnHost = hostLayer ? test : test.skip;

describeOnCuda('positions given by a tensor', () => {
  testOnHost('too many are refused at the call, and the device goes on', () =>
    tidy(() => {
      const many = zeros([2 ** 22], { dtype: 'int32', device });
      const [x, long] = [rand([3], { device }), zeros([2, 2 ** 22], { device })];
      for (const call of [
        () => indexSelect(x, 0, many),
        () => gather(x, 0, many),
        () => scatterAdd(x, 0, many, zeros([2 ** 22], { device })),
        () => indexSelect(long, 0, zeros([1], { dtype: 'int32', device })),
      ]) {
        const { code, message } = errorOf(call);
        expect(code).toBe('FLUXION_UNSUPPORTED');
        expect(message).toContain('2^31 or more elements');
      }
      const weight = zeros([2 ** 21, 2], { device, requiresGrad: true });
      const rows = embedding(zeros([1], { dtype: 'int32', device }), weight);
      expect(errorOf(() => rows.sum().backward()).message).toContain('2^31 or more elements');
      expect(indexSelect(x, 0, many.slice(0, 0, 2)).dataSync()).toHaveLength(2);
    }),
  );

  test('many places of few targets, and one place of many', () =>
    tidy(() => {
      const places = zeros([5], { dtype: 'int32', device });
      const sum = scatterAdd(zeros([1], { device }), 0, places, ones([5], { device }));
      expect(Array.from(sum.dataSync())).toEqual([5]);
      const one = scatterAdd(zeros([1000], { device }), 0, full([1], 999, { dtype: 'int32', device }), ones([1], { device })); // prettier-ignore
      expect(Array.from(one.dataSync()).map((x, i) => x * i)).toEqual([...Array<number>(999).fill(0), 999]); // prettier-ignore
    }));
});
