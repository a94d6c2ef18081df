import type { Case } from '../case';

export const VARIABLE_DIFFUSION: readonly Case[] = [];
