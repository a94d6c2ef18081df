import type { Case } from '../case';

export const FOURIER: readonly Case[] = [];
