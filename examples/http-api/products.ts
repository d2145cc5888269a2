import { type Context, Hono } from 'hono'
import { isConcurrencyError } from 'prisma-extension-concurrency'
import { z } from 'zod'
import { Prisma } from '../../generated/prisma/client.js'
import type { Database } from './database.js'
import { etag, ifMatch, matches, type Precondition } from './etag.js'
import { body, idOf, notFound, Problem } from './problem.js'

const replacement = z.strictObject({
  name: z.string().min(1).max(200),
  price: z.string().regex(/^\d{1,10}(\.\d{1,2})?$/),
  stock: z
    .int()
    .min(0)
    .max(2 ** 31 - 1),
})
const patch = replacement.partial().refine((change) => Object.keys(change).length > 0, 'must change something')

const select = { id: true, name: true, price: true, stock: true, version: true } as const

interface Product {
  readonly id: number
  readonly name: string
  readonly price: { toFixed(digits: number): string }
  readonly stock: number
  readonly version: number
}

/** The fields shown of a product. Its version is not one of them: that is the ETag. */
const shown = ({ id, name, price, stock }: Product) => ({ id, name, price: price.toFixed(2), stock })

export function products(db: Database) {
  const app = new Hono()

  const answer = (c: Context, product: Product) => c.json(shown(product), 200, { etag: etag(product.version) })

  app.get('/:id', async (c) => {
    const product = await db.product.findUnique({ where: { id: idOf(c) }, select })
    if (!product) throw notFound()
    return answer(c, product)
  })

  // No ETag: RFC 9110, section 9.3.4, allows one only where the body was stored byte for byte.
  app.put('/:id', async (c) => {
    await write(idOf(c), ifMatch(c.req.header('if-match')), await body(c, replacement))
    return c.body(null, 204)
  })

  app.patch('/:id', async (c) => {
    return answer(c, await write(idOf(c), ifMatch(c.req.header('if-match')), await body(c, patch)))
  })

  app.delete('/:id', async (c) => {
    await remove(idOf(c), ifMatch(c.req.header('if-match')))
    return c.body(null, 204)
  })

  async function write(id: number, precondition: Precondition, data: z.infer<typeof patch>): Promise<Product> {
    const only = precondition !== 'any' && precondition.versions.length === 1 ? precondition.versions[0] : undefined
    const result =
      only === undefined
        ? await db.product.tryUpdateVersioned({
            where: { id },
            data: ({ version }) => (matches(precondition, version) ? data : undefined),
            select,
          })
        : await db.product.tryUpdateVersioned({ where: { id, version: only }, data, select })
    switch (result.status) {
      case 'updated':
        return result.record
      case 'unchanged':
        throw stale(result.record)
      case 'stale':
        throw stale(result.current)
      case 'missing':
        // Not 412: without the header it would be 404 too (RFC 9110, section 13.2.1).
        throw notFound()
    }
  }

  async function remove(id: number, precondition: Precondition): Promise<void> {
    const current = await db.product.findUnique({ where: { id }, select })
    if (!current) throw notFound()
    if (!matches(precondition, current.version)) throw stale(current)
    try {
      await db.product.deleteVersioned({ where: { id, version: current.version } })
    } catch (error) {
      if (isPrismaError(error, 'P2025')) throw notFound()
      if (isPrismaError(error, 'P2003')) throw new Problem(409, 'The product is in use', 'There are orders of it.')
      if (!isConcurrencyError(error, 'VERSION_CONFLICT')) throw error
      // Written in between: look at what is there now. It ends, since each turn is a write of somebody's.
      return remove(id, precondition)
    }
  }

  return app
}

function isPrismaError(error: unknown, code: string): boolean {
  return error instanceof Prisma.PrismaClientKnownRequestError && error.code === code
}

/** Tells the client what is there now, so that it need not ask. */
function stale(current: Product): Problem {
  return new Problem(412, 'The product has changed', 'Look at the current state and decide anew.', {
    members: { current: shown(current) },
    headers: { etag: etag(current.version) },
  })
}
