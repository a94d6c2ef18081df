import type { Case } from '../case';

export const MESH_FREE: readonly Case[] = [];
