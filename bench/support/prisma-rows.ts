/** The rows of a critical section, on a client or a transaction of Prisma's. */
import type { Rows } from '../contender.js'

/** As much of a client as is needed, be it extended or not. */
interface ItemClient {
  readonly item: {
    findUniqueOrThrow(args: { where: { id: number } }): PromiseLike<{ stock: number }>
    update(args: { where: { id: number }; data: { stock: number } }): PromiseLike<unknown>
  }
}

export function rowsOf({ item }: ItemClient): Rows {
  return {
    read: async (itemId) => (await item.findUniqueOrThrow({ where: { id: itemId } })).stock,
    write: async (itemId, stock) => void (await item.update({ where: { id: itemId }, data: { stock } })),
  }
}
