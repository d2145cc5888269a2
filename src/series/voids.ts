import { rowOf, type Session } from '../engine/session.js'
import {
  ConfigurationError,
  IdempotencyMismatchError,
  InvalidArgumentError,
  SeriesNumberError,
} from '../errors/index.js'
import { stamps } from '../mapping/columns.js'
import { confirm } from '../retry/confirm.js'
import { claimOrFind } from '../sql/claim.js'
import { columnOf } from '../sql/sql.js'
import { join, param, sql } from '../sql/statement.js'
import type { Series, SeriesMap } from './mapping.js'
import { areEqual, keyOf } from './statements.js'
import type { NumberPlace } from './store.js'
import type { VoidedNumber } from './types.js'

/** A number that is to be void, or all of a period. */
export interface VoidCall {
  readonly series: Series
  readonly period: string
  readonly reason: string
}

type Voids = NonNullable<SeriesMap['voids']>

/**
 * Makes a number void that no transaction id has. A number up to the counter's last one is given to nobody later, but for
 * a free one: to void that is to delete it, which waits for a transaction that has taken it. If that has kept it, neither
 * its row nor the number's is in the snapshot, so nothing is written, and the next look sees whose it is.
 *
 * @throws SeriesNumberError if a transaction id has the number, or nobody has taken it yet
 * @throws IdempotencyMismatchError if it is void for another reason
 */
export async function voidNumber(
  tx: Session,
  map: SeriesMap,
  call: VoidCall & { readonly value: bigint },
): Promise<VoidedNumber> {
  const voids = voidsOf(map)
  await map.keys.check(tx)
  const { period, value, reason } = call
  const number = { period, value, reason }
  const settled = await claimOrFind<VoidedNumber>(
    async () => ((await tx.rows(claim(map, voids, call))).length > 0 ? { ...number, replayed: false } : undefined),
    async () => {
      const known = judge(await rowOf<Found>(tx, find(map, voids, call)), voids.model.name, call)
      if (known) await confirm(tx)
      return known
    },
  )
  if (settled) return settled
  throw suppressed(voids)
}

interface Found {
  readonly reason: string | null
  readonly owner: string | null
  readonly last: bigint | null
}

function judge(found: Found, model: string, call: VoidCall & NumberPlace): VoidedNumber | undefined {
  const { series, period, value, reason } = call
  if (found.reason === reason) return { period, value, reason, replayed: true }
  if (found.reason != null) {
    throw new IdempotencyMismatchError(model, { series: series.name, period, value }, ['reason'])
  }
  if (found.owner != null) throw new SeriesNumberError('used', series.name, period, value)
  if (value < series.start || found.last == null || value > found.last) {
    throw new SeriesNumberError('not taken', series.name, period, value)
  }
  return undefined
}

function claim({ counter, number, free }: SeriesMap, voids: Voids, { series, ...call }: VoidCall & NumberPlace) {
  const key = keyOf(series)
  const [period, value] = [param(call.period, 'text'), param(call.value, 'int8')]
  const place = [...key, period, value]
  const isFree = free && areEqual([...free.key, free.period, free.value], place, 'f.')
  const columns = join([...voids.key, voids.period, voids.value, voids.reason, ...voids.updatedAt].map(columnOf))
  return sql`${
    free &&
    sql`WITH freed AS (
  DELETE FROM ${free.table} AS f WHERE ${isFree} RETURNING 1
)
`
  }INSERT INTO ${voids.table} (${columns})
SELECT ${join(place)}, ${param(call.reason, 'text')}${stamps(voids.updatedAt)}
FROM ${counter.table} AS c
WHERE ${areEqual([...counter.key, counter.period], [...key, period], 'c.')} AND ${value} BETWEEN ${param(series.start, 'int8')} AND c.${columnOf(counter.last)}
  AND NOT EXISTS (SELECT FROM ${number.table} AS n WHERE ${areEqual([...number.key, number.period, number.value], place, 'n.')})${
    free &&
    sql`
  AND (EXISTS (SELECT FROM freed) OR NOT EXISTS (SELECT FROM ${free.table} AS f WHERE ${isFree}))`
  }
ON CONFLICT (${join([...voids.key, voids.period, voids.value].map(columnOf))}) DO NOTHING
RETURNING 1 AS voided`
}

function find({ counter, number }: SeriesMap, voids: Voids, { series, ...call }: VoidCall & NumberPlace) {
  const key = keyOf(series)
  const [period, value] = [param(call.period, 'text'), param(call.value, 'int8')]
  const place = [...key, period, value]
  return sql`SELECT (
  SELECT v.${columnOf(voids.reason)} FROM ${voids.table} AS v WHERE ${areEqual([...voids.key, voids.period, voids.value], place, 'v.')}
) AS reason, (
  SELECT n.${columnOf(number.transactionId)}::text FROM ${number.table} AS n WHERE ${areEqual([...number.key, number.period, number.value], place, 'n.')}
) AS owner, (
  SELECT c.${columnOf(counter.last)}::int8 FROM ${counter.table} AS c WHERE ${areEqual([...counter.key, counter.period], [...key, period], 'c.')}
) AS last`
}

/**
 * Makes all free numbers of a period void. The counter is locked first, so that no more are opened. A free number that a
 * transaction has taken is waited for. The transaction may put it back as another row, so the last look must find none.
 */
export async function closePeriod(tx: Session, map: SeriesMap, call: VoidCall): Promise<bigint[]> {
  const { counter, free } = map
  const voids = voidsOf(map)
  if (!call.series.parallel || !free) {
    throw new InvalidArgumentError('series', 'has no free numbers: it is not parallel.')
  }
  await map.keys.check(tx)
  const key = keyOf(call.series)
  const period = param(call.period, 'text')
  await tx.rows(sql`SELECT 1 AS locked FROM ${counter.table} AS c
WHERE ${areEqual([...counter.key, counter.period], [...key, period], 'c.')}
FOR NO KEY UPDATE`)
  const isOfPeriod = areEqual([...free.key, free.period], [...key, period], 'f.')
  const columns = join([...voids.key, voids.period, voids.value, voids.reason, ...voids.updatedAt].map(columnOf))
  const all: bigint[] = []
  for (;;) {
    const rows = await tx.rows<{ value: bigint }>(sql`WITH seen AS (
  SELECT f.${columnOf(free.value)} AS value FROM ${free.table} AS f WHERE ${isOfPeriod} ORDER BY 1 FOR UPDATE
), freed AS (
  DELETE FROM ${free.table} AS f USING seen WHERE ${isOfPeriod} AND f.${columnOf(free.value)} = seen.value RETURNING seen.value
), voided AS (
  INSERT INTO ${voids.table} (${columns})
  SELECT ${join([...key, period])}, value, ${param(call.reason, 'text')}${stamps(voids.updatedAt)}
  FROM freed
  RETURNING 1
)
SELECT value::int8 AS value FROM freed ORDER BY 1`)
    all.push(...rows.map(({ value }) => value))
    const [left] = await tx.rows(sql`SELECT 1 AS "left" FROM ${free.table} AS f WHERE ${isOfPeriod} LIMIT 1`)
    if (left === undefined) return all
  }
}

function voidsOf({ voids }: SeriesMap): Voids {
  if (voids) return voids
  throw new ConfigurationError([{ path: 'void', message: 'must name a model, for numbers to be made void' }])
}

function suppressed({ model }: Voids): ConfigurationError {
  const message = `${model.name} does not keep what is inserted: a BEFORE trigger or a policy suppresses it`
  return new ConfigurationError([{ path: 'void.model', message }])
}
