import type { Case } from './case';
import { ARITHMETIC_CASES } from './elementwise-arithmetic';
import { EDGE_CASES, FUNCTIONS } from './elementwise-functions';

export const ELEMENTWISE: Case[] = [...FUNCTIONS, ...EDGE_CASES, ...ARITHMETIC_CASES];
