import * as z from 'zod/mini'
import { isTransactionConflict } from '../engine/error-facts.js'
import { ConfigurationError, InvalidArgumentError } from '../errors/index.js'
import { inSavepoint, serializeInTransaction } from '../mapping/client.js'
import { refuseForeign } from '../mapping/foreign.js'
import { isTransactionClient, type PrismaClientLike } from '../prisma/client.js'
import { lazyPromise } from '../prisma/lazy-promise.js'
import { patienceOf } from '../retry/call-options.js'
import { retry } from '../retry/loop.js'
import { LONGEST_TIMER, type ResolvedPolicy } from '../retry/policy.js'
import { argumentsOf } from '../values/snapshot.js'
import { checkArguments, checkNames, isRecord } from '../values/validation.js'
import { audit } from './audit.js'
import { defer } from './defer.js'
import { executeInTransaction } from './execute-in-transaction.js'
import type { StockExecutor } from './executor.js'
import { givenOf, itemOf, keyValue, readItem } from './item.js'
import { readLines } from './load-snapshot.js'
import type { LinesMap, StockMap } from './mapping.js'
import { foldAll, type RunOne } from './project.js'
import type { Decision, Kind, Line, Request, VerdictLine } from './request.js'

type Args = Readonly<Record<string, unknown>>
type Done = Extract<Decision, { readonly status: 'done' }>

const CALL = ['transactionId', 'retry', 'signal']
const ARGUMENTS = {
  move: [...CALL, 'item', 'quantity', 'minimum'],
  moveAll: [...CALL, 'lines', 'minimum'],
  count: [...CALL, 'item', 'counted'],
  defer: [...CALL, 'item', 'quantity', 'lines'],
  project: ['batchSize', 'signal'],
  reserve: [...CALL, 'item', 'quantity', 'lines', 'minimum', 'expiresIn'],
  release: CALL,
  fulfil: [...CALL, 'minimum'],
  audit: [],
} as const satisfies Record<string, readonly string[]>
const batchSizeSchema = z
  .int('must be a whole number')
  .check(z.gte(1, 'must be at least 1'), z.lte(100_000, 'must be at most 100,000'))
const expiresInSchema = z
  .number('must be a number of ms')
  .check(z.gte(1, 'must be at least 1 ms'), z.lte(LONGEST_TIMER, `must be at most ${LONGEST_TIMER} ms`))

/** What the methods of all clients and transactions share. */
export interface StockCore {
  readonly map: StockMap
  readonly policy: ResolvedPolicy
  readonly combiner: StockExecutor
}

/** Where the calls of one `$stock` run: on the client, or inside a transaction. */
interface Place {
  readonly client: PrismaClientLike
  readonly isInside: boolean
}

/** The methods of `$stock`, for one client: checks the arguments, and hands the request on. */
export function stockMethods(core: StockCore, client: PrismaClientLike) {
  const { map } = core
  const isInside = isTransactionClient(client)
  const place = { client, isInside }
  let isChecked = false
  const call = <R>(method: keyof typeof ARGUMENTS, run: (given: unknown) => Promise<R>) => {
    const name = `$stock.${method}`
    // Once for all calls of the method, since a hundred thousand of them may wait.
    const checkAndRun = (given: unknown) => {
      try {
        // The extensions on top of a client stay the same, so they are looked at once for each.
        if (!isChecked) refuseForeigners(client, map, name)
        isChecked = true
        return run(given)
      } catch (error) {
        return Promise.reject(error)
      }
    }
    return (given: unknown = {}) => lazyPromise(name, () => argumentsOf(given), checkAndRun)
  }
  const value = (units: bigint) => map.quantities.value(units)
  const moved = ({ lines, replayed }: Done) => ({
    lines: lines.map(({ item, quantity, balance }) => ({
      item: item.given,
      quantity: value(quantity),
      balance: value(balance),
    })),
    replayed,
  })
  const single = ({ lines, replayed }: Done) => {
    const [line] = lines as readonly [VerdictLine]
    return { quantity: value(line.quantity), balance: value(line.balance), replayed }
  }

  const singleOf = (verdict: Decision) => single(granted(verdict))
  const movedOf = (verdict: Decision) => moved(granted(verdict))

  return {
    // These two wait by the hundred thousand: an async function would keep a frame for each.
    move: call('move', (given) => {
      const args = checkedArgs('move', given)
      return judged(core, place, requestOf(core, 'move', args, [readLine(map, args, '')]), singleOf)
    }),

    moveAll: call('moveAll', (given) => {
      const args = checkedArgs('moveAll', given)
      return judged(core, place, requestOf(core, 'move', args, readAllLines(map, args)), movedOf)
    }),

    count: call('count', async (given) => {
      const args = checkedArgs('count', given)
      const line = {
        item: readItem(args.item, map.item.key, 'item'),
        quantity: map.quantities.read(args.counted, 'counted'),
      }
      return single(await settle(core, place, requestOf(core, 'count', args, [line])))
    }),

    defer: call('defer', async (given) => {
      const args = checkedArgs('defer', given)
      requireApplied(map)
      const request = requestOf(core, 'move', args, oneOrMany(map, args))
      const run = () => defer(client, map, request, isInside)
      return { replayed: await (isInside ? serializeInTransaction(client, request.deadline, run) : run()) }
    }),

    project: call('project', async (given) => {
      const args = checkedArgs('project', given)
      requireApplied(map)
      const batchSize =
        args.batchSize === undefined ? 1_000 : checkArgument(batchSizeSchema, args.batchSize, 'batchSize')
      const run: RunOne = async (statement) => {
        const { policy, deadline } = patienceOf(core.policy, { signal: args.signal })
        deadline.signal?.throwIfAborted()
        // In a transaction a savepoint keeps the failure of one item from ending all of it.
        if (isInside) return serializeInTransaction(client, deadline, () => inSavepoint(client, deadline, statement))
        return retry(() => statement(client), policy, deadline, isTransactionConflict)
      }
      return foldAll(run, map, batchSize)
    }),

    reserve: call('reserve', async (given) => {
      const args = checkedArgs('reserve', given)
      requireReservation(map)
      const lines = oneOrMany(map, args)
      const taken = lines.findIndex(({ quantity }) => quantity < 0n)
      if (taken !== -1) throw new InvalidArgumentError('quantity', 'must be positive: it is what is to be reserved.')
      const expiresIn = checkArgument(expiresInSchema, args.expiresIn, 'expiresIn')
      const done = await settle(core, place, { ...requestOf(core, 'reserve', args, lines), expiresIn })
      return { expiresAt: done.expiresAt, state: done.state, replayed: done.replayed }
    }),

    release: call('release', async (given) => {
      const args = checkedArgs('release', given)
      const done = await endReservation(core, place, 'release', args)
      return { released: !done.replayed, state: done.state }
    }),

    fulfil: call('fulfil', async (given) => {
      const args = checkedArgs('fulfil', given)
      return moved(await endReservation(core, place, 'fulfil', args))
    }),

    audit: call('audit', async (given) => {
      checkedArgs('audit', given)
      const { deadline } = patienceOf(core.policy, {})
      const run = () => audit(client, map)
      return isInside ? serializeInTransaction(client, deadline, run) : run()
    }),
  }
}

function refuseForeigners(client: PrismaClientLike, { item, movement, reservation }: StockMap, method: string): void {
  refuseForeign(client, method, item.model, 'updates')
  refuseForeign(client, method, movement.model, 'writes')
  if (reservation) refuseForeign(client, method, reservation.model, 'writes')
}

function checkedArgs(method: keyof typeof ARGUMENTS, args: unknown): Args {
  if (!isRecord(args)) throw new InvalidArgumentError('args', 'must be an object.')
  checkNames(args, ARGUMENTS[method])
  return args
}

/** On the root the request joins a batch; in a transaction it is settled right there. */
function judged<R>(
  core: StockCore,
  { client, isInside }: Place,
  request: Request,
  answer: (verdict: Decision) => R,
): Promise<R> {
  if (!isInside) return core.combiner.settle(request, answer)
  return serializeInTransaction(client, request.deadline, async () =>
    answer((await executeInTransaction(client, core.map, request)).verdict),
  )
}

function granted(verdict: Decision): Done {
  if (verdict.status === 'refused') throw verdict.error
  return verdict
}

function settle(core: StockCore, place: Place, request: Request): Promise<Done> {
  return judged(core, place, request, granted)
}

/**
 * The lines of a reservation never change, so they can be read before anything is locked; but in a
 * transaction not before its own turn, for the call before it may be the one that reserves.
 */
async function endReservation(core: StockCore, place: Place, kind: Kind, args: Args): Promise<Done> {
  const { client, isInside } = place
  const reservation = requireReservation(core.map)
  const request = requestOf(core, kind, args, [])
  const complete = async () => {
    const lines = await linesOf(core.map, client, reservation, request)
    return { ...request, lines, resources: idsOf(lines) }
  }
  if (!isInside) return settle(core, place, await complete())
  return serializeInTransaction(client, request.deadline, async () =>
    granted((await executeInTransaction(client, core.map, await complete())).verdict),
  )
}

async function linesOf(map: StockMap, client: PrismaClientLike, reservation: LinesMap, { transactionId }: Request) {
  const rows = await readLines(client, reservation, [transactionId])
  return rows.map(({ key, quantity }) => ({
    item: itemOf(key, givenOf(key, map.item.key)),
    quantity: map.quantities.parse(quantity),
  }))
}

function requestOf(core: StockCore, kind: Kind, args: Args, lines: readonly Line[]): Request {
  const { map } = core
  const { minimum } = args
  const { policy, deadline } = patienceOf(core.policy, args)
  return {
    policy,
    deadline,
    kind,
    transactionId: keyValue(args.transactionId, map.movement.transactionId, 'transactionId'),
    lines,
    resources: idsOf(lines),
    minimum: minimum === undefined || minimum === null ? minimum : map.quantities.read(minimum, 'minimum'),
  }
}

/** The ids of their items. */
function idsOf(lines: readonly Line[]): string | readonly string[] {
  const ids = lines.map(({ item }) => item.id)
  return ids.length === 1 ? (ids[0] as string) : ids
}

function oneOrMany(map: StockMap, args: Args): readonly Line[] {
  if (args.lines === undefined) return [readLine(map, args, '')]
  if (args.item !== undefined || args.quantity !== undefined) {
    throw new InvalidArgumentError('lines', 'cannot be given together with item and quantity.')
  }
  return readAllLines(map, args)
}

/** The lines, with those of one item added up. */
function readAllLines(map: StockMap, { lines }: Args): readonly Line[] {
  if (!Array.isArray(lines) || lines.length === 0)
    throw new InvalidArgumentError('lines', 'must be a list of at least one line.')
  const merged = new Map<string, Line>()
  lines.forEach((given: unknown, i) => {
    if (!isRecord(given)) throw new InvalidArgumentError(`lines[${i}]`, 'must be an object with item and quantity.')
    const stranger = Object.keys(given).find((name) => name !== 'item' && name !== 'quantity')
    if (stranger !== undefined) throw new InvalidArgumentError(`lines[${i}].${stranger}`, 'is not part of a line.')
    const line = readLine(map, given, `lines[${i}].`)
    const before = merged.get(line.item.id)
    merged.set(line.item.id, before ? { ...before, quantity: before.quantity + line.quantity } : line)
  })
  for (const { quantity, item } of merged.values()) {
    if (quantity === 0n)
      throw new InvalidArgumentError('lines', `of the item ${String(JSON.stringify(item.key))} add up to nothing.`)
    if (!map.quantities.fits(quantity))
      throw new InvalidArgumentError('lines', 'add up to more than a movement can hold.')
  }
  return [...merged.values()]
}

function readLine(map: StockMap, { item, quantity }: Args, path: string): Line {
  const line = {
    item: readItem(item, map.item.key, `${path}item`),
    quantity: map.quantities.read(quantity, `${path}quantity`),
  }
  if (line.quantity === 0n) throw new InvalidArgumentError(`${path}quantity`, 'must not be 0: nothing would be moved.')
  return line
}

function checkArgument<T>(schema: z.ZodMiniType<T>, value: unknown, name: string): T {
  return checkArguments(z.object({ [name]: schema }), { [name]: value })[name] as T
}

function requireReservation({ reservation }: StockMap) {
  if (reservation) return reservation
  throw new ConfigurationError([
    { path: 'reservation', message: 'must be mapped to a model, for stock to be reserved' },
  ])
}

function requireApplied({ movement }: StockMap): void {
  if (movement.applied) return
  const message = `must name a Boolean field of ${movement.model.name}, for movements to be deferred`
  throw new ConfigurationError([{ path: 'movement.applied', message }])
}
