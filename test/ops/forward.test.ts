// Every case against its naive float64 reference: both float dtypes, contiguous and strided inputs, every
// instruction set of the machine, one and two threads. Fresh memory is filled with NaN and has guard bytes.
import { type DType, type Tensor, type TypedArray, setNumThreads, tidy } from '../../lib';
import { native } from '../../lib/native';
import { FAMILIES } from '../cases';
import {
  type Case,
  SEED,
  expectClose,
  inputTensors,
  inputValues,
  toleranceOf,
} from '../cases/case';

const { instructionSets, instructionSet, threads } = native.config();

beforeAll(() => {
  native.setCheckedMemory(true);
  console.log(`test data of seed ${SEED}; instruction sets: ${instructionSets}`);
});

afterAll(() => {
  native.setInstructionSet(instructionSet);
  setNumThreads(threads);
});

interface Outcome {
  shape: readonly number[];
  dtype: DType;
  data: TypedArray;
}

function evaluate(c: Case, inputs: Tensor[], threadCount: number): Outcome {
  setNumThreads(threadCount);
  return tidy(() => {
    const result = c.run(...inputs);
    return { shape: result.shape, dtype: result.dtype, data: result.dataSync() };
  });
}

const bytes = ({ data }: Outcome) => Buffer.from(data.buffer, data.byteOffset, data.byteLength);

describe.each(Object.entries(FAMILIES))('%s', (_, cases) => {
  describe.each(['float64', 'float32'] as const)('%s', (dtype) => {
    test.each(cases)('$name', (c) => {
      const expected = c.reference(...inputValues(c));
      for (const layout of ['contiguous', 'strided'] as const) {
        tidy(() => {
          const inputs = inputTensors(c, dtype, layout);
          for (const isa of instructionSets.split(' ')) {
            native.setInstructionSet(isa);
            const label = `${c.name}, ${dtype}, ${layout}, ${isa}`;
            const one = evaluate(c, inputs, 1);
            expect(one.shape).toEqual(expected.shape);
            const precision = one.dtype === 'float32' ? 'float32' : dtype;
            expectClose(one.data, expected.data, toleranceOf(c, precision), label);
            const two = evaluate(c, inputs, 2);
            if (!bytes(one).equals(bytes(two))) {
              throw new Error(`${label}: the bits differ between one and two threads`);
            }
          }
        });
      }
    });
  });
});
