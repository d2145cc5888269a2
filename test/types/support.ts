import type { PrismaClient } from '../../generated/prisma/client.js'
import { concurrency } from '../../src/index.js'

/** `true` where both types are the same, which `any` is only with itself. */
export type Equal<A, B> = (<T>() => T extends A ? 1 : 2) extends <T>() => T extends B ? 1 : 2 ? true : false

/** Compiles only if it is told `true`. */
export type Expect<T extends true> = T

export declare const base: PrismaClient
export const db = base.$extends(concurrency())

/** The value that a call resolves to. */
export type Resolved<C> = C extends PromiseLike<infer R> ? R : never

export interface Product {
  id: number
  name: string
  stock: number
  price: import('@prisma/client/runtime/client').Decimal
  updatedAt: Date
  version: number
  categoryId: number | null
}

/** A record as one flat object type, however Prisma composed it. */
export type Flat<T> = { [K in keyof T]: T[K] }
