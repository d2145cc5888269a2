import type { Session } from '../engine/session.js'
import { ConfigurationError, InvalidArgumentError } from '../errors/index.js'
import type { CallEvents } from '../events/call-events.js'
import { patienceOf } from '../retry/call-options.js'
import { inSavepoint, serializeInTransaction } from '../transactions/serialize.js'
import * as s from '../values/schema.js'
import { checkArguments } from '../values/validation.js'
import type { StockParts } from './call.js'
import { readItem } from './item.js'
import { type Args, hasSources } from './lines.js'
import { OtherMethods } from './other-methods.js'
import { MOST_SLOTS, type SlotBounds } from './slot-bounds.js'
import { SlotExecutor } from './slot-executor.js'

const countSchema = s.object({
  count: s.whole().check(s.gte(1, 'must be at least 1'), s.lte(MOST_SLOTS, 'must be at most 1,000')),
})

/** The methods of a ledger whose items have slots. */
export class SlotMethods extends OtherMethods {
  readonly #executor: SlotExecutor

  constructor(parts: StockParts) {
    const executor = new SlotExecutor(parts.executor, parts.map)
    super({ ...parts, executor })
    this.#executor = executor
  }

  override move(session: Session, args: Args, events?: CallEvents) {
    return super.move(session, withoutOthers(args), events)
  }

  override moveAll(session: Session, args: Args, events?: CallEvents) {
    if (hasSources(args)) throw new InvalidArgumentError('lines', 'cannot have from beside slots: name the items.')
    return super.moveAll(session, withoutOthers(args), events)
  }

  override reverse(session: Session, args: Args, events?: CallEvents) {
    return super.reverse(session, withoutOthers(args), events)
  }

  override async defer(): Promise<never> {
    throw unfit('defer', 'call move, which waits for no other process')
  }

  override async project(): Promise<never> {
    throw unfit('project', 'nothing is deferred there')
  }

  override async close(): Promise<never> {
    throw unfit('close', 'keep items whose periods are closed in a ledger without slots')
  }

  override async prune(): Promise<never> {
    throw unfit('prune', 'keep items whose movements are pruned in a ledger without slots')
  }

  override async balanceAt(): Promise<never> {
    throw unfit(
      'balanceAt',
      'units go from slot to slot without a movement; add the quantities that history has up to then to what there was before',
    )
  }

  override async setSlots(session: Session, args: Args, events?: CallEvents) {
    const { map, policy } = this.parts
    const { count } = checkArguments(countSchema, { count: args.count })
    checkBounds(count, map.item.adapts)
    const item = readItem(map.item, args.scope, args.item, 'item')
    const patience = patienceOf(policy, { retry: args.retry, signal: args.signal })
    const { deadline } = patience
    events?.begin(deadline, item.id)
    deadline.signal?.throwIfAborted()
    const before = session.inTransaction
      ? await serializeInTransaction(session, deadline, () =>
          inSavepoint(session, deadline, (tx) => this.#executor.setSlots(tx, item, count)),
        )
      : await this.#executor.setSlotsAlone(patience, item, count)
    return { count, before }
  }
}

/** @throws InvalidArgumentError for a number that would not last */
function checkBounds(count: number, adapts: SlotBounds | undefined): void {
  if (!adapts || (count >= adapts.least && count <= adapts.most)) return
  const { least, most } = adapts
  throw new InvalidArgumentError(
    'count',
    `must be from ${least} to ${most}, between which the number of slots adapts: set others by item.slots, { field, least, most }.`,
  )
}

/** @throws InvalidArgumentError for an argument that there is no answer for where the item has several rows */
function withoutOthers(args: Args): Args {
  for (const name of ['minimum', 'maximum', 'createMissing']) {
    if (args[name] === undefined || args[name] === false) continue
    throw new InvalidArgumentError(
      name,
      name === 'createMissing'
        ? 'cannot be given beside slots: create the item first, as the row with the slot 0.'
        : 'cannot be given beside slots: each of them stays at 0 or above.',
    )
  }
  return args
}

function unfit(method: string, wayOut: string): ConfigurationError {
  return new ConfigurationError([{ path: 'item.slots', message: `does not go with ${method}: ${wayOut}` }])
}
