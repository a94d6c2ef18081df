import type { Case } from './case';

export const COMPLEX: Case[] = [];
