import { sqlTypeOf } from '../mapping/columns.js'
import { columnOf, epochOf, momentIn, momentOf } from '../sql/sql.js'
import { type Parameter, param, raw, type SqlText, sql } from '../sql/statement.js'
import type { OutboxMap } from './mapping.js'

/** Parts that the statements of the outbox have in common. */

/** A message as it is read. */
export interface MessageRow {
  readonly id: string
  readonly key: string
  readonly position: bigint
  readonly payload: string
  readonly attempts: number
  readonly createdAt: number
}

/** The columns of a message `m`. The payload is a text, so that every driver gives the same. */
export function messageColumns({ message }: OutboxMap): SqlText {
  const { id, key, position, payload, attempts, createdAt } = message
  return raw(
    `m.${columnOf(id)}::text AS id, m.${columnOf(key)} AS key, m.${columnOf(position)}::int8 AS position,
  m.${columnOf(payload)}::text AS payload, m.${columnOf(attempts)} AS attempts, ${epochOf(createdAt, 'm.')} AS "createdAt"`,
  )
}

export function isMessage({ message }: OutboxMap, id: string) {
  return sql`m.${columnOf(message.id)} = ${param(id, sqlTypeOf(message.id))}`
}

/** The key `k` is that of the message `m`. */
export function isKeyOf({ message, key }: OutboxMap): SqlText {
  return raw(
    `k.${columnOf(key.topic)} = m.${columnOf(message.topic)} AND k.${columnOf(key.key)} = m.${columnOf(message.key)}`,
  )
}

/**
 * Now, for `dueAt`. Rounded down: a column of whole ms would round it up, and the message would not be due at once.
 */
export function dueNow({ key }: OutboxMap): SqlText {
  return momentOf(key.dueAt, "date_trunc('milliseconds', clock_timestamp())")
}

/** So many ms from now. */
export function dueIn({ key }: OutboxMap, ms: Parameter) {
  return momentIn(key.dueAt, sql`clock_timestamp() + ${ms} * interval '1 millisecond'`)
}
