import { type ActionArgs, type ModelContext, modelOf } from './client.js'
import { takesPart } from './foreign.js'
import { extensionsOf, isForeign, isReadReplicas, transparentOf } from './layers.js'
import { knownWholeOf, type OwnClients } from './whole-client.js'

const READ = 'findUniqueOrThrow'

/**
 * Reads a record outside a transaction: from the primary, and past no extension that has a say in it.
 * What is right below ours has it whichever way the read goes. What lies on top of ours may send the
 * read to a replica, unless it is in a transaction.
 */
export async function readPrimary(model: ModelContext, { below, made }: OwnClients, args: ActionArgs) {
  const whole = knownWholeOf(model)
  const all = whole && extensionsOf(whole)
  if (all) {
    const above = extensionsOf(whole, made)
    const transparent = transparentOf(all)
    const isHooked = above.some((each) => isForeign(each, transparent) && takesPart(each, model.$name, READ))
    const hasFields = above.some(({ result }) => result !== undefined)
    if (!isHooked && !hasFields && !extensionsOf(below).some(isReadReplicas))
      return modelOf(below, model.$name)[READ](args)
    if (!isHooked && !all.some(isReadReplicas)) return model[READ](args)
  }
  const [record] = await below.$transaction([model[READ](args)])
  return record
}
