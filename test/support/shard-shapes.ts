import { parse } from 'libpg-query'

/*
 * Citus plans a statement on distributed tables in one of two ways. If each of its tables is fixed to one shard, by `=`
 * between its distribution column and a parameter, and nothing in a CTE is inserted, all of it is sent to that shard, and
 * may have any form. Else each CTE is a statement of its own, whose rows the next ones read, and each of these must have
 * a form that can be carried out on shards. This file knows the forms that cannot.
 */

/** The column by which each distributed table is distributed. All other tables are local ones. */
export type Distribution = Readonly<Record<string, string>>

/** The fault of a statement. */
export type UnfitShape =
  | 'locks rows of no certain shard'
  | 'correlated with rows of no table'
  | 'joins local and distributed tables'
  | 'locks rows beside others at the top of a CTE'
  | 'conflicts on a key without the distribution column'
  | 'changes rows by a volatile function'
  | 'takes an advisory lock on no shard'
  | 'sorts rows of a CTE by a row'

/** The forms in a text of SQL that Citus refuses, each once. */
export async function unfitShapes(sql: string, distribution: Distribution): Promise<readonly UnfitShape[]> {
  const { stmts } = (await parse(sql)) as { readonly stmts?: readonly { readonly stmt: unknown }[] }
  const found = (stmts ?? []).flatMap(({ stmt }) => {
    const query = queryOf(stmt)
    return query ? checkUnit(levelOf(query, { distribution, ctes: new Set(), constants: new Set() })) : []
  })
  return [...new Set(found)]
}

type Node = Readonly<Record<string, unknown>>

interface Query {
  readonly kind: 'SelectStmt' | 'InsertStmt' | 'UpdateStmt' | 'DeleteStmt'
  readonly body: Node
}

/** One SELECT, INSERT, UPDATE or DELETE, without those inside of it. */
interface Level {
  readonly query: Query
  /** By their aliases, the tables that it reads or changes. */
  readonly tables: ReadonlyMap<string, string>
  readonly aliases: ReadonlySet<string>
  /** Columns, with their aliases, that are equal to a parameter or a constant. */
  readonly constants: ReadonlySet<string>
  readonly isLocking: boolean
  readonly ctes: readonly Level[]
  readonly inFrom: readonly Level[]
  readonly inExpressions: readonly Level[]
  readonly distribution: Distribution
}

interface Surroundings {
  readonly distribution: Distribution
  readonly ctes: ReadonlySet<string>
  readonly constants: ReadonlySet<string>
}

function levelOf(query: Query, around: Surroundings): Level {
  const { body } = query
  const named = list(at(body, 'withClause', 'ctes')).map((cte) => nodeAt(cte, 'CommonTableExpr'))
  const names = new Set([...around.ctes, ...named.map(({ ctename }) => String(ctename))])
  const inside = { ...around, ctes: names }
  const parts = partsOf(query)
  const hasFrom = [parts.ranges, parts.subselects, parts.functions].some(({ length }) => length > 0)
  // A sub-select with a LIMIT or OFFSET, or without rows, is planned by itself: there a column around it is no constant.
  const isApart = body.limitCount !== undefined || body.limitOffset !== undefined || !hasFrom
  const tables = new Map<string, string>()
  const aliases = new Set<string>()
  for (const { alias, relname, schemaname } of parts.ranges) {
    const name = String(nodeAt(alias).aliasname ?? relname)
    aliases.add(name)
    if (schemaname !== undefined || !names.has(String(relname))) tables.set(name, String(relname))
  }
  for (const { alias } of [...parts.subselects, ...parts.functions]) aliases.add(String(nodeAt(alias).aliasname))
  const equal = parts.conditions.flatMap((condition) => equalitiesOf(condition, [...tables.keys()]))
  const constants = constantsAmong(equal, [
    ...(isApart ? [] : around.constants),
    ...parts.subselects.flatMap(constantColumns),
  ])
  const within = (found: readonly unknown[], more: Surroundings) =>
    found.flatMap((node) => queryOf(node) ?? []).map((inner) => levelOf(inner, more))
  return {
    query,
    tables,
    aliases,
    constants,
    isLocking: body.lockingClause !== undefined,
    // A CTE does not see the rows of the query that it stands in.
    ctes: within(
      named.map(({ ctequery }) => ctequery),
      { ...inside, constants: new Set() },
    ),
    inFrom: within([...parts.subselects.map(({ subquery }) => subquery), ...parts.sources], { ...inside, constants }),
    inExpressions: within(parts.sublinks, { ...inside, constants }),
    distribution: around.distribution,
  }
}

/** The parts of a query that are its own. */
function partsOf({ kind, body }: Query) {
  const ranges: Node[] = []
  const functions: Node[] = []
  const subselects: Node[] = []
  const sublinks: unknown[] = []
  const conditions: unknown[] = [body.whereClause]
  // The target of an INSERT has no rows that are read.
  if (kind === 'UpdateStmt' || kind === 'DeleteStmt') ranges.push(nodeAt(body.relation))
  const sources = [body.selectStmt, ...[body.larg, body.rarg].map((branch) => branch && { SelectStmt: branch })]
  const { withClause: _, selectStmt: __, larg: ___, rarg: ____, relation: _____, lockingClause: ______, ...own } = body
  const visit = (value: unknown): void => {
    if (Array.isArray(value)) for (const each of value) visit(each)
    if (!isNode(value)) return
    for (const [name, child] of Object.entries(value)) {
      if (name === 'RangeVar') ranges.push(nodeAt(child))
      else if (name === 'RangeFunction') functions.push(nodeAt(child))
      else if (name === 'RangeSubselect') subselects.push(nodeAt(child))
      else if (name === 'SubLink') {
        sublinks.push(nodeAt(child).subselect)
        visit(nodeAt(child).testexpr)
      } else {
        if (name === 'JoinExpr') conditions.push(nodeAt(child).quals)
        visit(child)
      }
    }
  }
  visit(own)
  return { ranges, functions, subselects, sublinks, conditions, sources: sources.filter((source) => source) }
}

/** The columns of a sub-select that are parameters or constants, where PostgreSQL puts it into the query around it. */
function constantColumns({ alias, subquery }: Node): string[] {
  const select = nodeAt(subquery, 'SelectStmt')
  const { aliasname, colnames } = nodeAt(alias)
  const keepsApart = [
    'limitCount',
    'limitOffset',
    'distinctClause',
    'groupClause',
    'lockingClause',
    'larg',
    'withClause',
  ]
  if (keepsApart.some((name) => select[name] !== undefined)) return []
  const names = list(colnames).map((name) => nodeAt(name, 'String').sval)
  return list(select.targetList).flatMap((target, i) => {
    const { val, name } = nodeAt(target, 'ResTarget')
    return termOf(val, []) === CONSTANT ? [`${aliasname}.${names[i] ?? name}`] : []
  })
}

const CONSTANT = ' constant'

/** `=` between two terms, in conditions that are joined by AND. */
function equalitiesOf(condition: unknown, tables: readonly string[]): (readonly [string, string])[] {
  const { BoolExpr, A_Expr } = nodeAt(condition)
  if (isNode(BoolExpr) && BoolExpr.boolop === 'AND_EXPR') {
    return list(BoolExpr.args).flatMap((each) => equalitiesOf(each, tables))
  }
  if (!isNode(A_Expr) || A_Expr.kind !== 'AEXPR_OP' || nodeAt(list(A_Expr.name)[0], 'String').sval !== '=') return []
  const [left, right] = [A_Expr.lexpr, A_Expr.rexpr].map((side) => list(at(side, 'RowExpr', 'args')))
  const pairs = left?.length ? left.map((each, i) => [each, right?.[i]]) : [[A_Expr.lexpr, A_Expr.rexpr]]
  return pairs.flatMap(([a, b]) => {
    const [one, other] = [termOf(a, tables), termOf(b, tables)]
    return one !== undefined && other !== undefined ? [[one, other] as const] : []
  })
}

function termOf(expression: unknown, tables: readonly string[]): string | undefined {
  const { ParamRef, A_Const, TypeCast, ColumnRef } = nodeAt(expression)
  if (ParamRef || A_Const) return CONSTANT
  if (TypeCast) return termOf(nodeAt(TypeCast).arg, []) // the cast of a column is another value
  if (!ColumnRef) return undefined
  const [alias, name] = namesOf(ColumnRef)
  return `${alias ?? (tables.length === 1 ? tables[0] : '')}.${name}`
}

function namesOf(columnRef: unknown): readonly [alias: string | undefined, name: string] {
  const names = list(nodeAt(columnRef).fields).map((field) => nodeAt(field, 'String').sval as string | undefined)
  return [names.at(-2), String(names.at(-1))]
}

function constantsAmong(equal: readonly (readonly [string, string])[], known: readonly string[]): ReadonlySet<string> {
  const constants = new Set([CONSTANT, ...known])
  let size = 0
  while (size !== constants.size) {
    size = constants.size
    for (const [one, other] of equal) {
      if (constants.has(one)) constants.add(other)
      if (constants.has(other)) constants.add(one)
    }
  }
  return constants
}

/** A statement, a CTE, or the SELECT of an INSERT, which is carried out by itself. */
function checkUnit(unit: Level): UnfitShape[] {
  const levels = deep(unit)
  const isInsert = ({ query: { kind } }: Level) => kind === 'InsertStmt'
  if (isInsert(unit)) return [...checkConflict(unit), ...[...unit.ctes, ...unit.inFrom].flatMap(checkUnit)]
  if (!levels.some((level) => hasDistributed(level) || insertsInto(level))) return checkLocks(unit)
  if (levels.every(isFixed) && !levels.some(hasLocal) && !unit.ctes.some(isInsert)) return levels.flatMap(checkVolatile)
  const joined = unit.ctes.some((cte) => cte.isLocking && cte.aliases.size > 1 && hasDistributed(cte))
  const found: UnfitShape[] = joined ? ['locks rows beside others at the top of a CTE'] : []
  const isSorted = ({ query }: Level) =>
    list(query.body.sortClause).some((each) => at(each, 'SortBy', 'node', 'RowExpr'))
  if (unit.ctes.some(isSorted)) found.push('sorts rows of a CTE by a row')
  return [...found, ...unit.ctes.flatMap(checkUnit), ...checkLevel(unit), ...checkLocks(unit)]
}

/**
 * A SELECT is carried out on the shard that all of its tables are fixed to, with all that is inside of it, and one without
 * any such table on the coordinator. A lock that some calls take here and others there keeps nobody apart.
 */
function checkLocks(level: Level): UnfitShape[] {
  const inner = [...level.inFrom, ...level.inExpressions]
  const all = [level, ...inner.flatMap(deep)]
  if (all.some(hasDistributed) && all.every((one) => isFixed(one) && !hasLocal(one))) return []
  const { withClause: _, ...own } = level.query.body
  const found: UnfitShape[] = calls(own, /^pg_(?:try_)?advisory_\w+$/) ? ['takes an advisory lock on no shard'] : []
  return [...found, ...inner.flatMap(checkLocks)]
}

function checkLevel(level: Level): UnfitShape[] {
  const found = checkVolatile(level)
  const all = deep(level)
  if (level.isLocking && all.some(hasDistributed) && !all.every((one) => isFixed(one) && !hasLocal(one))) {
    found.push('locks rows of no certain shard')
  }
  if (hasDistributed(level) && hasLocal(level)) found.push('joins local and distributed tables')
  const isCorrelated = (inner: Level) => deep(inner).some(hasDistributed) && refersTo(inner, level)
  // In FROM, one that is by itself on no certain shard, beside rows of no table.
  const isBeside = hasDistributed(level) && level.aliases.size > level.tables.size
  const isOpen = (inner: Level) => !deep(inner).every(isFixed) && isCorrelated(inner)
  if ((isBeside || !hasDistributed(level)) && level.inFrom.some(isOpen)) found.push('correlated with rows of no table')
  if (!hasDistributed(level) && level.inExpressions.some(isCorrelated)) found.push('correlated with rows of no table')
  return [...found, ...[...level.inFrom, ...level.inExpressions].flatMap(checkLevel)]
}

/** The distribution column of the table that it inserts into. */
function insertsInto({ query: { kind, body }, distribution }: Level): string | undefined {
  return kind === 'InsertStmt' ? distribution[String(nodeAt(body.relation).relname)] : undefined
}

function checkConflict(level: Level): UnfitShape[] {
  const column = insertsInto(level)
  const elements = list(at(level.query.body, 'onConflictClause', 'infer', 'indexElems'))
  const key = elements.map((each) => nodeAt(each, 'IndexElem').name)
  if (column === undefined || key.length === 0 || key.includes(column)) return []
  return ['conflicts on a key without the distribution column']
}

const VOLATILE =
  /^(?:clock_timestamp|timeofday|set_config|random|gen_random_uuid|nextval|setval|pg_(?:try_)?advisory_\w+)$/

function checkVolatile(level: Level): UnfitShape[] {
  const { kind, body } = level.query
  if ((kind !== 'UpdateStmt' && kind !== 'DeleteStmt') || !hasDistributed(level)) return []
  const { withClause: _, ...own } = body
  return calls(own, VOLATILE, true) ? ['changes rows by a volatile function'] : []
}

/** Whether such a function is called; by itself, or also by a sub-select. */
function calls(value: unknown, functions: RegExp, orInside = false): boolean {
  if (Array.isArray(value)) return value.some((each) => calls(each, functions, orInside))
  if (!isNode(value)) return false
  const names = list(at(value, 'FuncCall', 'funcname')).map((name) => String(nodeAt(name, 'String').sval))
  if (functions.test(names.at(-1) ?? '')) return true
  return Object.entries(value).some(
    ([name, child]) => (orInside || !/^(?:subselect|subquery)$/.test(name)) && calls(child, functions, orInside),
  )
}

/** The level, and all that are inside of it. */
function deep(level: Level): Level[] {
  return [level, ...[...level.ctes, ...level.inFrom, ...level.inExpressions].flatMap(deep)]
}

function hasDistributed({ tables, distribution }: Level): boolean {
  return [...tables.values()].some((table) => table in distribution)
}

function hasLocal({ tables, distribution }: Level): boolean {
  return [...tables.values()].some((table) => !(table in distribution))
}

/** Whether each of its distributed tables is fixed to one shard. */
function isFixed({ tables, constants, distribution }: Level): boolean {
  return [...tables].every(([alias, table]) => {
    const column = distribution[table]
    return column === undefined || constants.has(`${alias}.${column}`)
  })
}

/** Whether a query refers to rows of the one around it. */
function refersTo(inner: Level, outer: Level): boolean {
  const own = new Set(deep(inner).flatMap(({ aliases }) => [...aliases]))
  const refers = (value: unknown): boolean => {
    if (Array.isArray(value)) return value.some(refers)
    if (!isNode(value)) return false
    return Object.entries(value).some(([name, child]) => {
      if (name !== 'ColumnRef') return refers(child)
      const [alias] = namesOf(child)
      return alias !== undefined && !own.has(alias) && outer.aliases.has(alias)
    })
  }
  return refers(inner.query.body)
}

function queryOf(node: unknown): Query | undefined {
  const kinds = ['SelectStmt', 'InsertStmt', 'UpdateStmt', 'DeleteStmt'] as const
  const kind = kinds.find((name) => isNode(nodeAt(node)[name]))
  return kind && { kind, body: nodeAt(node, kind) }
}

function isNode(value: unknown): value is Node {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

/** The node at this path, or an empty one. */
function nodeAt(value: unknown, ...path: readonly string[]): Node {
  const found = at(value, ...path)
  return isNode(found) ? found : {}
}

function at(value: unknown, ...path: readonly string[]): unknown {
  return path.reduce((node: unknown, name) => (isNode(node) ? node[name] : undefined), value)
}

function list(value: unknown): readonly unknown[] {
  return Array.isArray(value) ? value : []
}
