import type { Case } from './case';

export const UPWIND: Case[] = [];
