#!/usr/bin/env node
import { Command } from 'commander';
import { version } from '../tensor/runtime';
import { infoCommand } from './info-command';
import { predictCommand } from './predict-command';
import { trainCommand } from './train-command';

const program = new Command('fluxion')
  .description(
    'Tensor engine for Node.js whose first-class operations are the solution operators of PDEs',
  )
  .version(version)
  .option('--verbose', 'print the stack of an error');

program
  .command('info')
  .description('show versions, instruction sets and devices')
  .action(infoCommand);

program
  .command('train')
  .description('train a model, or continue an interrupted run')
  .argument(
    '<config>',
    'JSON file: model, data, output, epochs, batchSize, optimizer, learningRate, ...',
  )
  .action(trainCommand);

program
  .command('predict')
  .description('classify an image')
  .argument('<folder>', 'output folder of fluxion train')
  .argument('<image>', 'PNG file')
  .option('--top <n>', 'number of classes to print', '3')
  .action(predictCommand);

program.parseAsync().catch((error: unknown) => {
  const { code = '', message, stack } = error as { code?: string; message: string; stack?: string };
  const line = message.startsWith(code) ? message : `${code}: ${message}`;
  console.error(program.opts<{ verbose?: boolean }>().verbose ? stack : line.replace(/\n/g, ' '));
  process.exitCode = 1;
});
