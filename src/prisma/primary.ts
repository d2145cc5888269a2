import { madeOnce } from '../engine/made-once.js'
import type { ActionArgs } from '../engine/records.js'
import { type ModelContext, modelOf, type PrismaClientLike } from './client.js'
import { takesPart } from './foreign.js'
import { extensionsOf, isForeign, isReadReplicas, transparentOf } from './layers.js'
import { knownWholeOf, type OwnClients } from './whole-client.js'

export const READ = 'findUniqueOrThrow'

type Way = 'below' | 'through all' | 'in a transaction'

/** By our own clients and the whole client: the way of each model's reads. */
const ways = new WeakMap<OwnClients, WeakMap<PrismaClientLike, Map<string, Way>>>()

/**
 * Reads a record outside a transaction: from the primary, and through each extension that takes part in it.
 * An extension below ours takes part on every way of the read. One on top of ours may send it to a
 * replica, unless it is in a transaction.
 */
export async function readPrimary(model: ModelContext, own: OwnClients, args: ActionArgs): Promise<unknown> {
  const whole = knownWholeOf(model)
  switch (whole && wayOf(model.$name, whole, own)) {
    case 'below':
      return modelOf(own.below, model.$name)[READ](args)
    case 'through all':
      return model[READ](args)
    default: {
      const [record] = await own.below.$transaction([model[READ](args)])
      return record
    }
  }
}

function wayOf(model: string, whole: PrismaClientLike, own: OwnClients): Way {
  const byClient = madeOnce(ways, own, () => new WeakMap())
  const byModel = madeOnce(byClient, whole, () => new Map())
  return madeOnce(byModel, model, () => findWay(model, whole, own))
}

function findWay(model: string, whole: PrismaClientLike, { below, made }: OwnClients): Way {
  const all = extensionsOf(whole)
  const above = extensionsOf(whole, made)
  const transparent = transparentOf(all)
  if (above.some((each) => isForeign(each, transparent) && takesPart(each, model, READ))) return 'in a transaction'
  const hasFields = above.some(({ result }) => result !== undefined)
  if (!hasFields && !extensionsOf(below).some(isReadReplicas)) return 'below'
  return all.some(isReadReplicas) ? 'in a transaction' : 'through all'
}
