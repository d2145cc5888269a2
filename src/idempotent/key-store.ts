import { ConfigurationError } from '../errors.js'
import type { PrismaClientLike, Row } from '../prisma/client.js'
import type { DataModel, Model } from '../prisma/data-model.js'
import { sqlState } from '../prisma/errors.js'
import { columnOf, tableOf } from '../prisma/sql.js'

/** A key that was claimed before, with the request and the answer of that time. */
export interface StoredKey {
  readonly request: string
  /** `null` as long as the operation runs. */
  readonly answer: string | null
  readonly createdAt: Date
}

/** The name of the user's model, unless the options give another. */
export const DEFAULT_KEY_MODEL = 'IdempotencyKey'

const FIELDS = ['scope', 'key', 'request', 'answer', 'createdAt'] as const

/** The user's table of idempotency keys. */
export class KeyStore {
  readonly model: string
  readonly #table: string
  readonly #columns: Readonly<Record<(typeof FIELDS)[number], string>>

  /** @throws ConfigurationError if the schema lacks the model or a field of it */
  constructor(dataModel: DataModel, name: string) {
    const model = requireModel(dataModel, name)
    this.model = name
    this.#table = tableOf(model)
    this.#columns = columnsOf(model)
  }

  /**
   * Claims the key for this transaction. If another transaction has claimed it and is not over yet,
   * the database makes this one wait, and then says no if that one committed; so of any number at
   * once, just one goes on.
   */
  async claim(tx: PrismaClientLike, scope: string, key: string, request: string): Promise<boolean> {
    const c = this.#columns
    // The conflict names its columns: without a unique key of them, nothing would ever be refused.
    const sql = `INSERT INTO ${this.#table} (${c.scope}, ${c.key}, ${c.request})
VALUES ($1, $2, $3)
ON CONFLICT (${c.scope}, ${c.key}) DO NOTHING
RETURNING 1 AS claimed`
    try {
      const rows = (await tx.$queryRawUnsafe(sql, scope, key, request)) as Row[]
      return rows.length === 1
    } catch (error) {
      if (!LACKS.has(sqlState(error) ?? '')) throw error
      throw lacking(this.model, 'has no such table, columns or unique key of them in the database', { cause: error })
    }
  }

  async read(tx: PrismaClientLike, scope: string, key: string): Promise<StoredKey | undefined> {
    const c = this.#columns
    const [row] = (await tx.$queryRawUnsafe(
      `SELECT ${c.request} AS request, ${c.answer} AS answer, ${c.createdAt} AS "createdAt"
FROM ${this.#table}
WHERE ${c.scope} = $1 AND ${c.key} = $2`,
      scope,
      key,
    )) as (StoredKey | undefined)[]
    return row
  }

  async store(tx: PrismaClientLike, scope: string, key: string, answer: string): Promise<void> {
    const c = this.#columns
    await tx.$queryRawUnsafe(
      `UPDATE ${this.#table} SET ${c.answer} = $3 WHERE ${c.scope} = $1 AND ${c.key} = $2`,
      scope,
      key,
      answer,
    )
  }

  /** Deletes up to `limit` keys older than so many ms by the database's clock; resolves to how many. */
  async prune(client: PrismaClientLike, olderThan: number, limit: number): Promise<number> {
    const c = this.#columns
    // SKIP LOCKED: two machines that prune at once share the work instead of waiting for each other.
    const [row] = (await client.$queryRawUnsafe(
      `WITH old AS (
  SELECT ${c.scope}, ${c.key}
  FROM ${this.#table}
  WHERE ${c.createdAt} < now() - make_interval(secs => $1::float8 / 1000)
  LIMIT $2::int
  FOR UPDATE SKIP LOCKED
), deleted AS (
  DELETE FROM ${this.#table} AS t USING old
  WHERE t.${c.scope} = old.${c.scope} AND t.${c.key} = old.${c.key}
  RETURNING 1
)
SELECT count(*)::int AS count FROM deleted`,
      olderThan,
      limit,
    )) as [{ count: number }]
    return row.count
  }
}

/** A table, a column, or a unique key of the columns that is not in the database. */
const LACKS: ReadonlySet<string> = new Set(['42P01', '42703', '42P10'])

function requireModel(dataModel: DataModel, name: string): Model {
  const model = dataModel.get(name)
  const missing = FIELDS.filter((field) => !model?.fields.has(field))
  if (model && missing.length === 0) return model
  throw lacking(name, model ? `lacks the fields ${missing.join(', ')}` : 'is not in the schema')
}

function lacking(name: string, lack: string, options?: ErrorOptions): ConfigurationError {
  const message = `the model ${name}, in which once-only operations are noted, ${lack}. Add what idempotencyKeySchema() and idempotencyKeySql() print.`
  return new ConfigurationError([{ path: 'idempotency.model', message }], options)
}

function columnsOf(model: Model) {
  const column = (name: string) => columnOf(model.fields.get(name) ?? { column: name })
  return {
    scope: column('scope'),
    key: column('key'),
    request: column('request'),
    answer: column('answer'),
    createdAt: column('createdAt'),
  }
}
