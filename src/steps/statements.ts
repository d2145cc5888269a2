import type { SqlStatement } from '../engine/session.js'
import { stampColumns, stamps, touches } from '../mapping/columns.js'
import { columnOf, momentIn, momentOf } from '../sql/sql.js'
import { param, raw, type Statement, sql } from '../sql/statement.js'
import type { StepsMap } from './mapping.js'

/*
 * The row of an operation moves on in one direction, and each move is one guarded statement, or one in a transaction that has
 * the row locked. Of any number of runners that make the same move at once, one does; the others find what it has left. So a
 * runner that was stopped, and goes on late, moves nothing either.
 */

export interface OperationName {
  readonly scope: string
  readonly key: string
}

export interface StoredStep {
  readonly name: string
  /** As `encodeAnswer` writes it. An external call that has begun, and whose answer is not known, has none. */
  readonly answer?: string
  /** The call that has stored it: a random id. */
  readonly by?: string
  readonly undone?: true
}

export interface StoredOperation {
  readonly request: string
  /** In `refusing` the operation is refused, and its steps are being undone. */
  readonly state: 'running' | 'done' | 'refusing' | 'refused'
  /** A random id of the call that has stored it, a space, and the answer as `encodeAnswer` writes it. */
  readonly answer: string | null
  readonly steps: readonly StoredStep[]
}

/** A row as it is read: `steps` is JSON. */
export type OperationRow = Omit<StoredOperation, 'steps'> & { readonly steps: string }

export function claimStatement(map: StepsMap, { scope, key }: OperationName, request: string): SqlStatement {
  const columns = [map.scope, map.key, map.request, map.state, map.steps, map.changedAt].map(columnOf).join(', ')
  return sql`INSERT INTO ${map.table} AS o (${raw(columns)}${stampColumns(map.updatedAt)})
VALUES (${param(scope, 'text')}, ${param(key, 'text')}, ${param(request, 'text')}, 'running', '[]', ${momentOf(map.changedAt)}${stamps(map.updatedAt)})
ON CONFLICT (${columnOf(map.scope)}, ${columnOf(map.key)}) DO NOTHING
RETURNING 1 AS written`
}

/** Reads the row; in a transaction that is to move it, locks it first. */
export function readStatement(map: StepsMap, name: OperationName, lock = false): SqlStatement {
  return sql`SELECT o.${columnOf(map.request)} AS request, o.${columnOf(map.state)} AS state, o.${columnOf(map.answer)} AS answer, o.${columnOf(map.steps)}::text AS steps
FROM ${map.table} AS o
WHERE ${isOf(map, name)}${lock && raw('\nFOR NO KEY UPDATE OF o')}`
}

/** Adds the step with this number, if all before it are there, and none behind them. */
export function appendStatement(map: StepsMap, name: OperationName, n: number, step: StoredStep): SqlStatement {
  const steps = columnOf(map.steps)
  return update(map, name, {
    set: sql`${steps} = o.${steps} || ${param(JSON.stringify([step]), 'jsonb')}`,
    where: atStep(map, n),
  })
}

/** Stores the answer of an external call, unless there is one. */
export function answerStatement(
  map: StepsMap,
  name: OperationName,
  n: number,
  step: Required<Pick<StoredStep, 'name' | 'answer'>>,
): SqlStatement {
  const steps = columnOf(map.steps)
  const number = param(n, 'int')
  const stored = sql`o.${steps} -> ${number}`
  return update(map, name, {
    set: sql`${steps} = jsonb_set(o.${steps}, ARRAY[${number}::text, 'answer'], to_jsonb(${param(step.answer, 'text')}))`,
    where: sql`${isIn(map, 'running')} AND ${stored} ->> 'name' = ${param(step.name, 'text')} AND ${stored} ->> 'answer' IS NULL`,
  })
}

/** Ends the operation behind its first `n` steps, if there are no others. */
export function endStatement(
  map: StepsMap,
  name: OperationName,
  n: number,
  { state, answer }: Pick<StoredOperation, 'state' | 'answer'>,
): SqlStatement {
  return update(map, name, {
    set: sql`${columnOf(map.state)} = ${param(state, 'text')}, ${columnOf(map.answer)} = ${param(answer, 'text')}`,
    where: atStep(map, n),
  })
}

/** Notes that a step is undone. */
export function undoneStatement(map: StepsMap, name: OperationName, n: number): SqlStatement {
  const steps = columnOf(map.steps)
  return update(map, name, {
    set: sql`${steps} = jsonb_set(o.${steps}, ARRAY[${param(n, 'int')}::text, 'undone'], 'true')`,
    where: isIn(map, 'refusing'),
  })
}

/** All that can be undone is undone. */
export function refusedStatement(map: StepsMap, name: OperationName): SqlStatement {
  return update(map, name, { set: sql`${columnOf(map.state)} = 'refused'`, where: isIn(map, 'refusing') })
}

/** Deletes operations that are over. Machines that prune at once share the work. */
export function pruneStatement(map: StepsMap, olderThan: number, limit: number): SqlStatement {
  const [scope, key, state] = [columnOf(map.scope), columnOf(map.key), columnOf(map.state)]
  const age = sql`now() - make_interval(secs => ${param(olderThan, 'float8')} / 1000)`
  return sql`WITH old AS (
  SELECT o.${scope} AS scope, o.${key} AS key
  FROM ${map.table} AS o
  WHERE o.${state} IN ('done', 'refused') AND o.${columnOf(map.changedAt)} < ${momentIn(map.changedAt, age)}
  LIMIT ${param(limit, 'int')}
  FOR UPDATE SKIP LOCKED
), deleted AS (
  DELETE FROM ${map.table} AS o
  USING old
  WHERE o.${scope} = old.scope AND o.${key} = old.key
  RETURNING 1
)
SELECT count(*)::int AS count FROM deleted`
}

function update(
  map: StepsMap,
  name: OperationName,
  { set, where }: { readonly set: Statement; readonly where: Statement },
): SqlStatement {
  return sql`UPDATE ${map.table} AS o
SET ${set}, ${columnOf(map.changedAt)} = ${momentOf(map.changedAt)}${touches(map, 'o')}
WHERE ${isOf(map, name)} AND ${where}
RETURNING 1 AS written`
}

const isOf = (map: StepsMap, { scope, key }: OperationName) =>
  sql`o.${columnOf(map.scope)} = ${param(scope, 'text')} AND o.${columnOf(map.key)} = ${param(key, 'text')}`

const isIn = (map: StepsMap, state: 'running' | 'refusing') => sql`o.${columnOf(map.state)} = ${raw(`'${state}'`)}`

const atStep = (map: StepsMap, n: number) =>
  sql`${isIn(map, 'running')} AND jsonb_array_length(o.${columnOf(map.steps)}) = ${param(n, 'int')}`
