// The same cases on the CPU and on CUDA: values and, where there are, gradients. Skipped without a device.
import { type Tensor, devices, ones, tidy } from '../../lib';
import { FAMILIES } from '../cases';
import {
  type Case,
  differentiableInputs,
  expectClose,
  inputTensors,
  toleranceOf,
} from '../cases/case';

const gpu = devices().find(({ device }) => device.startsWith('cuda'));
const missing = !gpu || gpu.reason !== undefined;

if (missing) console.log(`parity with CUDA is skipped: ${gpu?.reason ?? 'no device'}`);

/** The result of a case on a device, and the gradients of its sum. */
function evaluate(c: Case, dtype: 'float32' | 'float64', device: string): Tensor[] {
  const inputs = inputTensors(c, dtype, 'contiguous', device);
  for (const i of differentiableInputs(c)) inputs[i]!.requiresGrad = true;
  const result = c.run(...inputs);
  if (!result.requiresGrad) return [result];
  result.backward(ones(result.shape, { dtype: result.dtype, device }));
  return [result, ...inputs.flatMap((t) => t.grad ?? [])];
}

(missing ? describe.skip : describe).each(Object.entries(FAMILIES))('%s', (_, cases) => {
  describe.each(['float64', 'float32'] as const)('%s', (dtype) => {
    test.each(cases)('$name', (c) => {
      tidy(() => {
        const cpu = evaluate(c, dtype, 'cpu');
        const cuda = evaluate(c, dtype, 'cuda');
        expect(cuda.map((t) => [t.shape, t.dtype])).toEqual(cpu.map((t) => [t.shape, t.dtype]));
        cuda.forEach((t, i) => {
          expectClose(
            t.dataSync(),
            cpu[i]!.dataSync(),
            2 * toleranceOf(c, t.dtype === 'float32' ? 'float32' : dtype),
            `${c.name}, ${i}`,
          );
        });
      });
    });
  });
});
