import type { DataModel, Field, Model } from '../engine/data-model.js'
import { sqlState } from '../engine/error-facts.js'
import type { Row, Session } from '../engine/session.js'
import { ConfigurationError } from '../errors/index.js'
import { columnOf, epochOf, momentOf, tableOf } from '../sql/sql.js'
import { missingKey, type NeededKey } from '../sql/unique-keys.js'

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

/** What the scope of a job's keys begins with, one for each period. `$idempotent` refuses such a scope. */
export const ONCE_PER = 'once per: '

/**
 * Of a job with a pause: what its scope begins with, and its key. There is one row for all its runs,
 * and `createdAt` in it is the last success. Neither is the scope of any other key of this package.
 */
export const AT_LEAST = { scope: 'once per, at least: ', key: 'last success' } as const

/** The user's table of idempotency keys. */
export class KeyStore {
  readonly model: string
  readonly #createdAt: Field
  readonly #table: string
  readonly #key: NeededKey
  readonly #columns: Readonly<Record<(typeof FIELDS)[number], string>>

  /** @throws ConfigurationError if the schema lacks the model or a field of it */
  constructor(dataModel: DataModel, name: string) {
    const model = requireModel(dataModel, name)
    this.model = name
    this.#createdAt = model.fields.get('createdAt') as Field
    this.#table = tableOf(model)
    this.#key = { model, fields: ['scope', 'key'].map((name) => model.fields.get(name) as Field) }
    this.#columns = columnsOf(model)
  }

  /**
   * Claims the key for this transaction. If another transaction has claimed it and is not over yet,
   * the database makes this one wait, and then says no if that one committed; so of any number at
   * once, just one goes on.
   *
   * With a `pause`, in seconds, a key that is so old is claimed anew. Its row is locked before its age
   * is looked at, and the clock is that of this moment: whoever waited sees the success it waited for.
   */
  async claim(tx: Session, scope: string, key: string, request: string, pause?: number): Promise<boolean> {
    const c = this.#columns
    const isRenewed = pause !== undefined
    // The conflict names its columns: without a unique key of them, nothing would ever be refused.
    const sql = `INSERT INTO ${this.#table} AS t (${c.scope}, ${c.key}, ${c.request}, ${c.createdAt})
VALUES ($1, $2, $3, ${this.#moment(isRenewed ? 'clock_timestamp()' : 'now()')})
ON CONFLICT (${c.scope}, ${c.key}) ${
      isRenewed
        ? `DO UPDATE SET ${c.request} = excluded.${c.request}, ${c.answer} = NULL, ${c.createdAt} = ${this.#moment('clock_timestamp()')}
WHERE t.${c.createdAt} <= ${this.#moment('clock_timestamp() - make_interval(secs => $4::float8)')}`
        : 'DO NOTHING'
    }
RETURNING 1 AS claimed`
    try {
      return (await this.#send(tx, sql, scope, key, request, ...(isRenewed ? [pause] : []))).length === 1
    } catch (error) {
      const state = sqlState(error)
      if (state !== NO_SUCH_KEY && state !== DEFERRABLE_KEY) throw error
      throw missingKey(this.#key, [], { cause: error })
    }
  }

  async read(tx: Session, scope: string, key: string): Promise<StoredKey | undefined> {
    const c = this.#columns
    // A driver may drop the time zone of a moment that it reads. Seconds have none.
    const [row] = (await this.#send(
      tx,
      `SELECT ${c.request} AS request, ${c.answer} AS answer, ${epochOf(this.#createdAt)} AS "createdAt"
FROM ${this.#table}
WHERE ${c.scope} = $1 AND ${c.key} = $2`,
      scope,
      key,
    )) as ((Omit<StoredKey, 'createdAt'> & { readonly createdAt: number }) | undefined)[]
    return row && { ...row, createdAt: new Date(row.createdAt) }
  }

  /** Stores the answer; for a key with a `pause`, also that its success was now. */
  async store(tx: Session, scope: string, key: string, answer: string, pause?: number): Promise<void> {
    const c = this.#columns
    const renewal = pause === undefined ? '' : `, ${c.createdAt} = ${this.#moment('clock_timestamp()')}`
    await this.#send(
      tx,
      `UPDATE ${this.#table} SET ${c.answer} = $3${renewal} WHERE ${c.scope} = $1 AND ${c.key} = $2`,
      scope,
      key,
      answer,
    )
  }

  /**
   * Deletes up to `limit` keys older than so many ms by the database's clock; resolves to how many.
   * The last success of a job with a pause stays: it is a row per job, and without it the job would
   * run too early.
   */
  async prune(session: Session, olderThan: number, limit: number): Promise<number> {
    const c = this.#columns
    // SKIP LOCKED: two machines that prune at once share the work instead of waiting for each other.
    const [row] = (await this.#send(
      session,
      `WITH old AS (
  SELECT ${c.scope}, ${c.key}
  FROM ${this.#table}
  WHERE ${c.createdAt} < ${this.#moment('now() - make_interval(secs => $1::float8 / 1000)')}
    AND NOT (${c.key} = $3 AND starts_with(${c.scope}, $4))
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
      AT_LEAST.key,
      AT_LEAST.scope,
    )) as [{ count: number }]
    return row.count
  }

  /** @throws ConfigurationError if the database lacks the table or a column of it */
  async #send(session: Session, sql: string, ...values: unknown[]): Promise<Row[]> {
    try {
      return await session.rows({ text: sql, values })
    } catch (error) {
      if (!LACKS.has(sqlState(error) ?? '')) throw error
      throw lacking(this.model, 'has no such table or columns in the database', { cause: error })
    }
  }

  #moment(moment: string): string {
    return momentOf(this.#createdAt, moment)
  }
}

/** A table or a column that is not in the database. */
const LACKS: ReadonlySet<string> = new Set(['42P01', '42703'])
/** No unique index is of just these columns; a partial one, or one that is not valid, is none. */
const NO_SUCH_KEY = '42P10'
const DEFERRABLE_KEY = '55000'

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
