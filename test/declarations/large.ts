import { concurrency } from 'prisma-extension-concurrency'
import { series } from 'prisma-extension-concurrency/erp'
import type { PrismaClient } from './large/client/client.js'

declare const base: PrismaClient
export const db = base.$extends(concurrency())
export const numbered = db.$extends(series())
