import { clientOf, retryingRoot, withConcurrency } from '../mapping/client.js'
import { isFilledIn } from '../mapping/mapping.js'
import { foreignInRecords } from '../prisma/foreign.js'
import { insertOne, readAll } from '../prisma/whole-records.js'
import { rawReadable } from '../sql/raw-record.js'
import type { DocumentEngine } from './document-creator.js'

const CALLS = ['create', 'createMany', 'createManyAndReturn', 'findMany'] as const

/** Documents by Prisma's own calls, with the hooks of all extensions of the caller's client. */
export const prismaDocuments: DocumentEngine = {
  judges: true,
  readable(session, model, given) {
    const isComplete = [...model.fields.values()].every((field) => given.includes(field) || isFilledIn(field))
    const isPlain = isComplete && foreignInRecords(clientOf(session), model.name, CALLS) === undefined
    return isPlain ? rawReadable(model) : undefined
  },
  rootOf: (session, { name }) => retryingRoot(withConcurrency(clientOf(session), 'series'), name),
  async find(tx, { model, transactionId }, id) {
    const [found] = await readAll(clientOf(tx), model, { where: { [transactionId.name]: id } })
    return found
  },
  insert: (tx, { model }, row) => insertOne(clientOf(tx), model, row),
}
