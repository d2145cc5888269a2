import type { Model } from '../engine/data-model.js'
import type { Action } from '../engine/records.js'
import { ForeignExtensionError } from '../errors/index.js'
import type { PrismaClientLike } from '../prisma/client.js'
import { foreignIn } from '../prisma/foreign.js'

const READS = ['findUnique', 'findUniqueOrThrow', 'findFirst', 'findFirstOrThrow', 'findMany'] as const
const UPDATES = ['update', 'updateMany', 'updateManyAndReturn'] as const
const CREATES = ['create', 'createMany', 'createManyAndReturn'] as const

/** What SQL of ours does with the rows of a model. Whatever it writes, it looks for first. */
const STANDS_FOR = {
  reads: READS,
  updates: [...READS, ...UPDATES],
  creates: [...READS, ...CREATES],
  writes: [...READS, ...UPDATES, ...CREATES],
} as const satisfies Record<string, readonly Action[]>

/**
 * @throws ForeignExtensionError if another extension takes part in the calls of the model: SQL would go
 *   past its filters, and past what it adds to the data
 */
export function refuseForeign(
  client: PrismaClientLike,
  operation: string,
  model: Model,
  does: keyof typeof STANDS_FOR,
): void {
  const extension = foreignIn(client, model.name, STANDS_FOR[does])
  if (extension === undefined) return
  throw new ForeignExtensionError('passed over', { extension: extension.name, model: model.name, operation })
}
