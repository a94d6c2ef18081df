import type { Case } from '../case';

export const UPWIND: readonly Case[] = [];
