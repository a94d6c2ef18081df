import type { Case } from './case';

export const FOURIER: Case[] = [];
