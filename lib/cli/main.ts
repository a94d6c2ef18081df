#!/usr/bin/env node
// A command is loaded when it is asked for: `fluxion build` must run where no binary of the addon does.
import { availableParallelism } from 'node:os';
import { Command } from 'commander';
import { version } from '../manifest';
import type { BuildOptions } from './build-command';
import type { RunOptions } from './run-command';

const program = new Command('fluxion')
  .description(
    'Tensor engine for Node.js whose first-class operations are the solution operators of PDEs',
  )
  .version(version)
  .option('--verbose', 'print the stack of an error')
  .enablePositionalOptions();

program
  .command('info')
  .description('show versions, instruction sets and devices')
  .action(async () => (await import('./info-command.js')).infoCommand());

program
  .command('build')
  .description('compile the addon from source, with CMake and a C++20 compiler')
  .option('--jobs <n>', 'number of compilers at a time', String(availableParallelism()))
  .action(async (options: BuildOptions) =>
    (await import('./build-command.js')).buildCommand(options),
  );

program
  .command('bench')
  .description('measure typical operations on this machine')
  .argument('[filter]', 'part of the name of an operation')
  .action(async (filter?: string) => (await import('./bench-command.js')).benchCommand(filter));

program
  .command('run')
  .description('start a script in several processes, which find their place in RANK and WORLD_SIZE')
  .requiredOption('--nproc <n>', 'number of processes')
  .argument('<script>', 'JavaScript file')
  .argument('[args...]', 'arguments of the script')
  .passThroughOptions()
  .action(async (script: string, args: string[], options: RunOptions) =>
    (await import('./run-command.js')).runCommand(script, args, options),
  );

program
  .command('train')
  .description('train a model, or continue an interrupted run')
  .argument(
    '<config>',
    'JSON file: model, data, output, epochs, batchSize, optimizer, learningRate, ...',
  )
  .action(async (file: string) => (await import('./train-command.js')).trainCommand(file));

program
  .command('predict')
  .description('classify an image')
  .argument('<folder>', 'output folder of fluxion train')
  .argument('<image>', 'PNG file')
  .option('--top <n>', 'number of classes to print', '3')
  .action(async (folder: string, image: string, options: { top?: string }) =>
    (await import('./predict-command.js')).predictCommand(folder, image, options),
  );

program.parseAsync().catch((error: unknown) => {
  const { code = '', message, stack } = error as { code?: string; message: string; stack?: string };
  const line = message.startsWith(code) ? message : `${code}: ${message}`;
  console.error(program.opts<{ verbose?: boolean }>().verbose ? stack : line.replace(/\n/g, ' '));
  process.exitCode = 1;
});
