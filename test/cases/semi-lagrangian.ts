import type { Case } from './case';

export const SEMI_LAGRANGIAN: Case[] = [];
