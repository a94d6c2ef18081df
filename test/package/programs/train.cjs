'use strict';
// A few training steps from require('fluxion'); prints the losses, and what it ran on, as JSON.
const { config, crossEntropy, manualSeed, models, optim, randn, tensor } = require('fluxion');

manualSeed(1);
const model = new models.RDNN({ inChannels: 3, channels: [4, 8], layersPerBlock: 1, classes: 3 });
const optimizer = new optim.AdamW(model.parameters(), { learningRate: 1e-2 });
const x = randn([4, 3, 16, 16]);
const y = tensor([0, 1, 2, 1], { dtype: 'int32' });
const losses = Array.from({ length: 5 }, () => {
  optimizer.zeroGrad();
  const loss = crossEntropy(model.forward(x), y);
  loss.backward();
  optimizer.step();
  return loss.item();
});
const { arch, version } = process;
console.log(
  JSON.stringify({ losses, arch, node: version, instructionSet: config().instructionSet }),
);
