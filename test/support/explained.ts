import pg from 'pg'

/** A statement, and the tables from which its plan has read any row, or looked for one. */
export interface Explained {
  readonly text: string
  readonly values: readonly unknown[]
  readonly scanned: readonly string[]
  /** How many rows it has read of tables, those that its conditions have passed over among them. */
  readonly rows: number
}

interface PlanNode {
  readonly 'Node Type': string
  readonly 'Relation Name'?: string
  readonly 'Actual Loops': number
  readonly 'Actual Rows': number
  readonly 'Rows Removed by Filter'?: number
  readonly Plans?: readonly PlanNode[]
}

type Query = (...args: unknown[]) => Promise<pg.QueryResult>

/**
 * Explains each statement that names a table of `which` right before it is sent: on its own connection, with its values,
 * by a plan for any values. Its effects are taken back.
 */
export function explainStatements(pool: pg.Pool, which: RegExp): Explained[] {
  const explained: Explained[] = []
  const known = new WeakSet<object>()
  pool.on('acquire', (connection) => {
    if (known.has(connection)) return
    known.add(connection)
    const query: Query = connection.query
    const send: Query = (...args) => Reflect.apply(query, connection, args)
    let inTransaction = false
    const explain = async (text: string, values: readonly unknown[]) => {
      const [begin, end] = inTransaction ? ['SAVEPOINT explained', 'ROLLBACK TO explained'] : ['BEGIN', 'ROLLBACK']
      await send(begin)
      try {
        explained.push(await explainIn(send, text, values))
      } catch (error) {
        // A statement that takes itself back.
        if ((error as { code?: string }).code?.startsWith('22') !== true) throw error
      } finally {
        await send(end)
      }
    }
    connection.query = (...args: unknown[]) => {
      const [given, second] = args as [string | { text: string; values?: unknown[] }, unknown]
      const text = typeof given === 'string' ? given : given.text
      const values = (typeof given === 'string' ? undefined : given.values) ?? (Array.isArray(second) ? second : [])
      if (/^\s*BEGIN/i.test(text)) inTransaction = true
      if (/^\s*(?:COMMIT|ROLLBACK)(?! TO)/i.test(text)) inTransaction = false
      return which.test(text) && !text.startsWith('PREPARE')
        ? explain(text, values).then(() => send(...args))
        : send(...args)
    }
  })
  return explained
}

/** Explains a statement once more, by a plan for any values that is made now. Its effects are taken back. */
export async function explainAgain(pool: pg.Pool, { text, values }: Explained): Promise<Explained> {
  const connection = await pool.connect()
  try {
    await connection.query('BEGIN')
    return await explainIn((statement) => connection.query(String(statement)), text, values)
  } finally {
    await connection.query('ROLLBACK')
    connection.release()
  }
}

async function explainIn(send: Query, text: string, values: readonly unknown[]): Promise<Explained> {
  const name = `explained_${Math.random().toString(36).slice(2)}`
  await send('SET LOCAL plan_cache_mode = force_generic_plan')
  await send(`PREPARE ${name} AS ${text}`)
  const list = values.length > 0 ? `(${values.map(literalOf).join(', ')})` : ''
  const { rows } = await send(`EXPLAIN (ANALYZE, FORMAT JSON) EXECUTE ${name}${list}`)
  const { Plan } = rows[0]['QUERY PLAN'][0]
  return { text, values, scanned: [...new Set(scannedBy(Plan))], rows: rowsOf(Plan) }
}

function scannedBy(node: PlanNode): string[] {
  const { 'Relation Name': table, Plans = [] } = node
  const own = table !== undefined && node['Node Type'].endsWith('Scan') && node['Actual Loops'] > 0 ? [table] : []
  return [...own, ...Plans.flatMap(scannedBy)]
}

function rowsOf(node: PlanNode): number {
  const { 'Relation Name': table, 'Actual Rows': rows, 'Rows Removed by Filter': others = 0, Plans = [] } = node
  const own = table === undefined ? 0 : (rows + others) * node['Actual Loops']
  return Plans.reduce((sum, plan) => sum + rowsOf(plan), own)
}

function literalOf(value: unknown): string {
  if (value === null || value === undefined) return 'NULL'
  if (!Array.isArray(value)) return pg.escapeLiteral(String(value))
  const items = value.map((item) => (item === null || item === undefined ? 'NULL' : JSON.stringify(String(item))))
  return pg.escapeLiteral(`{${items.join(',')}}`)
}
