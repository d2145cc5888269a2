import { sqlTypeOf } from '../mapping/columns.js'
import type { Scope } from '../sql/scope.js'
import { columnOf } from '../sql/sql.js'
import { join, param, raw, type Statement, sql } from '../sql/statement.js'
import type { LinesMap } from './mapping.js'

/** A condition: the rows of `alias` are of the scope. None where there is no scope. */
export function inScope(
  { scope: fields }: Pick<LinesMap, 'scope'>,
  alias: string,
  scope: Scope,
): Statement | undefined {
  if (fields.length === 0) return undefined
  const each = fields.map((field, i) => sql`${raw(alias)}.${columnOf(field)} = ${param(scope[i], sqlTypeOf(field))}`)
  return join(each, ' AND ')
}
