// The family's public face: sums and extrema, moments, norms and products, exponentials.
export {
  type ArgReduceOptions,
  type ReduceOptions,
  argmax,
  argmin,
  max,
  mean,
  min,
  sum,
} from './reduce-sum';
export * from './reduce-moments';
export * from './reduce-softmax';
