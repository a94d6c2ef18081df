import type { Case } from '../case';

export const SPECTRAL_DIFFUSION: readonly Case[] = [];
