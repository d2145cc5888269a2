import type { Model } from '../engine/data-model.js'
import type { ActionArgs } from '../engine/records.js'
import type { Row } from '../engine/session.js'
import { ForeignExtensionError } from '../errors/foreign-extension.js'
import { modelOf, type PrismaClientLike } from './client.js'
import { foreignIn } from './foreign.js'

interface Calls {
  create(args: ActionArgs): PromiseLike<Row | undefined | null>
  findMany(args: ActionArgs): PromiseLike<Row[]>
}

/** The records of a model, by a model call, with all scalar fields: also those that the client leaves out. */
export async function readAll(tx: PrismaClientLike, model: Model, args: ActionArgs): Promise<Row[]> {
  return callsOf(tx, model).findMany({ ...args, select: allScalarsOf(model) })
}

/** Inserts a record by a model call; the same of it is given back. */
export async function insertOne(tx: PrismaClientLike, model: Model, data: Row): Promise<Row> {
  const record = await callsOf(tx, model).create({ data, select: allScalarsOf(model) })
  if (record) return record
  const extension = foreignIn(tx, model.name, ['create'])
  const call = { extension: extension?.name, model: model.name, operation: 'create' }
  throw new ForeignExtensionError('gave no record', call)
}

function callsOf(tx: PrismaClientLike, { name }: Model): Calls {
  return modelOf(tx, name) as unknown as Calls
}

function allScalarsOf({ fields }: Model): Readonly<Record<string, true>> {
  const scalars = [...fields.values()].filter(({ kind }) => kind === 'scalar' || kind === 'enum')
  return Object.fromEntries(scalars.map(({ name }) => [name, true]))
}
