import type { Row, Session } from '../engine/session.js'
import type { CallEvents } from '../events/call-events.js'
import { readHistory } from './history.js'
import { analyzeAfterImport, type Imported, importSerials } from './import.js'
import { readImport } from './import-arguments.js'
import type { At, SerialsFeature } from './methods.js'
import { pruneSerials, readPrune } from './prune.js'

/** The calls of `$serials` besides those that take serials and give them back. */

export function historyBy(
  { map, scoped }: SerialsFeature,
  { session, scope }: At,
  serial: unknown,
  page: unknown,
): Promise<Row[]> {
  return readHistory(session, map, { scope, serial, page, refused: scoped })
}

export async function importBy(
  feature: SerialsFeature,
  { session, scope }: At,
  args: unknown,
  events?: CallEvents,
): Promise<Imported> {
  const { map } = feature
  const { transactionId, values, data, source, count, request, given } = readImport(args, map, {
    refused: feature.new,
    scope,
  })
  const id = feature.idOf(transactionId)
  feature.checkState(values)
  const call = { scope, transactionId: id, data, source, count, request }
  const told = { events, key: id, transactionId: id }
  return feature.runner.run(session, { ...given, told }, async (run) => {
    const result = await run.contained(async (tx) =>
      importSerials(tx, map, { ...call, columns: await feature.readyFor(tx) }),
    )
    await analyzeAfterImport(run.session, map, result)
    return result
  })
}

/** Each page is a call of its own: any number of them may be needed. */
export function pruneBy(feature: SerialsFeature, { session, scope }: At, args: unknown, events?: CallEvents) {
  const { signal, ...asked } = readPrune(feature.map, args)
  const told = { events, key: undefined, transactionId: undefined }
  const page = <R>(body: (tx: Session) => Promise<R>): Promise<R> =>
    feature.runner.run(session, { signal, told }, ({ contained }) => {
      signal?.throwIfAborted()
      return contained(body)
    })
  return pruneSerials(page, feature.map, { ...asked, scope })
}
