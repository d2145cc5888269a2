import type { Model } from '../engine/data-model.js'
import type { ActionArgs } from '../engine/records.js'
import type { Row } from '../engine/session.js'
import type { PrismaClientLike } from './client.js'
import { modelOf } from './client.js'

interface Reader {
  findMany(args: ActionArgs): PromiseLike<Row[]>
}

/** The records of a model, by a model call, with all scalar fields: also those that the client leaves out. */
export async function readAll(tx: PrismaClientLike, model: Model, args: ActionArgs): Promise<Row[]> {
  const scalars = [...model.fields.values()].filter(({ kind }) => kind === 'scalar' || kind === 'enum')
  const select = Object.fromEntries(scalars.map(({ name }) => [name, true]))
  return (modelOf(tx, model.name) as unknown as Reader).findMany({ ...args, select })
}
