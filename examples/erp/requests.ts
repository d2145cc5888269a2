import { z } from 'zod'

/** A column of the kind `Int` holds no more. */
export const LARGEST_INT = 2 ** 31 - 1

export const productId = z.int().min(1).max(LARGEST_INT)
export const quantity = z.int().min(1).max(1_000_000)
/** PostgreSQL keeps no NUL, and no half of a character. */
export const text = z
  .string()
  .min(1)
  .max(200)
  .regex(/^[^\0\p{Surrogate}]*$/u, 'has characters that cannot be stored')
export const customer = text

export const lines = z
  .array(z.strictObject({ productId, quantity }))
  .min(1)
  .max(100)
  .refine((lines) => new Set(lines.map(({ productId }) => productId)).size === lines.length, 'a product twice')
