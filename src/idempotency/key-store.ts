import type { DataModel, Field } from '../engine/data-model.js'
import { sqlState } from '../engine/error-facts.js'
import type { Session } from '../engine/session.js'
import { ConfigurationError } from '../errors/index.js'
import { columnOf, epochOf, momentOf, tableOf } from '../sql/sql.js'
import { param, raw, type SqlText, type Statement, sql, textOnce } from '../sql/statement.js'
import { missingKey, type NeededKey } from '../sql/unique-keys.js'

/** The key of an operation. */
export interface OperationKey {
  readonly scope: string
  readonly key: string
  /** So many seconds after its last success the operation may be done again under the same key. */
  readonly pause?: number | undefined
}

/** A key that was claimed before, with the request and the answer of that time. */
export interface StoredKey {
  readonly request: string
  /** `null` as long as the operation runs. */
  readonly answer: string | null
  readonly createdAt: Date
}

/** The name of the user's model, unless the options give another. */
export const DEFAULT_KEY_MODEL = 'IdempotencyKey'

/** The beginning of the scope of a job's keys, one for each period. `$idempotent` refuses such a scope. */
export const ONCE_PER = 'once per: '

/**
 * Of a job with a pause: the beginning of its scope, and its key. There is one row for all its runs,
 * and `createdAt` in it is the last success. No other key of this package has such a scope.
 */
export const AT_LEAST = { scope: 'once per, at least: ', key: 'last success' } as const

const FIELDS = ['scope', 'key', 'request', 'answer', 'createdAt'] as const

/** The time when the statement is carried out; `now()` is that of the transaction's beginning. */
const AT_ONCE = raw('clock_timestamp()')

/** The user's table of idempotency keys. */
export class KeyStore {
  readonly model: string
  readonly #key: NeededKey
  readonly createdAt: Field
  readonly table: SqlText
  readonly columns: Readonly<Record<(typeof FIELDS)[number], SqlText>>
  readonly #texts = new Map<string, string>()

  /** @throws ConfigurationError if the schema lacks the model or a field of it */
  constructor(dataModel: DataModel, name: string) {
    const model = dataModel.get(name)
    if (model === undefined) throw lacking(name, 'is not in the schema')
    const [scope, key, request, answer, createdAt] = FIELDS.map((field) => model.fields.get(field))
    if (!scope || !key || !request || !answer || !createdAt) {
      throw lacking(name, `lacks the fields ${FIELDS.filter((field) => !model.fields.has(field)).join(', ')}`)
    }
    this.model = name
    this.#key = { model, fields: [scope, key] }
    this.createdAt = createdAt
    this.table = tableOf(model)
    this.columns = {
      scope: columnOf(scope),
      key: columnOf(key),
      request: columnOf(request),
      answer: columnOf(answer),
      createdAt: columnOf(createdAt),
    }
  }

  /**
   * Claims the key for this transaction. While another transaction that has claimed it is not over, the database
   * lets this one wait, and says no if that one committed: of any number at once, one goes on.
   *
   * Its limits are set by a statement before: a lock on the table, as of a migration, is waited for before a statement
   * could limit itself.
   *
   * With a pause, a key that is so old is claimed anew. Its row is locked before its age is looked at, by the
   * clock of that moment, so a caller that waited sees the success that it waited for.
   */
  async claim(tx: Session, { scope, key, pause }: OperationKey, request: string): Promise<boolean> {
    const text = textOnce(this.#texts, `claim ${pause === undefined}`, () => this.#claiming(pause))
    const values = pause === undefined ? [scope, key, request] : [scope, key, request, pause]
    try {
      return (await this.send(tx.rows({ text, values }))).length === 1
    } catch (error) {
      const state = sqlState(error)
      if (state !== NO_SUCH_KEY && state !== DEFERRABLE_KEY) throw error
      throw await missingKey(this.#key, undefined, { cause: error })
    }
  }

  /** Its parameters: the scope, the key, the request, and the pause. */
  #claiming(pause: number | undefined): Statement {
    const c = this.columns
    const seconds = pause === undefined ? undefined : param(pause, 'float8')
    const onConflict = seconds
      ? sql`DO UPDATE SET ${c.request} = excluded.${c.request}, ${c.answer} = NULL, ${c.createdAt} = ${this.moment(AT_ONCE)}
WHERE t.${c.createdAt} <= ${this.moment(sql`clock_timestamp() - make_interval(secs => ${seconds})`)}`
      : raw('DO NOTHING')
    // The conflict names its columns: without a unique key of them, nothing would ever be refused.
    return sql`INSERT INTO ${this.table} AS t (${c.scope}, ${c.key}, ${c.request}, ${c.createdAt})
VALUES (${param('scope')}, ${param('key')}, ${param('request')}, ${this.moment(seconds ? AT_ONCE : raw('now()'))})
ON CONFLICT (${c.scope}, ${c.key}) ${onConflict}
RETURNING 1 AS claimed`
  }

  async read(tx: Session, { scope, key }: OperationKey): Promise<StoredKey | undefined> {
    const c = this.columns
    // A driver may drop the time zone of a moment that it reads. A number has none.
    const statement = sql`SELECT ${c.request} AS request, ${c.answer} AS answer, ${epochOf(this.createdAt)} AS "createdAt"
FROM ${this.table}
WHERE ${c.scope} = ${param(scope)} AND ${c.key} = ${param(key)}`
    const [row] = await this.send(tx.rows<Omit<StoredKey, 'createdAt'> & { createdAt: number }>(statement))
    return row && { ...row, createdAt: new Date(row.createdAt) }
  }

  /** Stores the answer; for a key with a pause, also that its success was now. */
  async store(tx: Session, { scope, key, pause }: OperationKey, answer: string): Promise<void> {
    const text = textOnce(this.#texts, `store ${pause === undefined}`, () => {
      const c = this.columns
      const renewal = pause !== undefined && sql`, ${c.createdAt} = ${this.moment(AT_ONCE)}`
      return sql`UPDATE ${this.table} SET ${c.answer} = ${param('answer')}${renewal} WHERE ${c.scope} = ${param('scope')} AND ${c.key} = ${param('key')}`
    })
    await this.send(tx.rows({ text, values: [answer, scope, key] }))
  }

  /** @throws ConfigurationError if the database lacks the table or a column of it */
  async send<T>(sent: Promise<T>): Promise<T> {
    try {
      return await sent
    } catch (error) {
      if (!LACKS.has(sqlState(error) ?? '')) throw error
      throw lacking(this.model, 'has no such table or columns in the database', { cause: error })
    }
  }

  moment(moment: SqlText | Statement): SqlText | Statement {
    return momentOf(this.createdAt, moment)
  }
}

/** A table or a column that is not in the database. */
const LACKS: ReadonlySet<string> = new Set(['42P01', '42703'])
/** No unique index is of just these columns; a partial one, or one that is not valid, is none. */
const NO_SUCH_KEY = '42P10'
const DEFERRABLE_KEY = '55000'

function lacking(name: string, lack: string, options?: ErrorOptions): ConfigurationError {
  const message = `the model ${name}, in which once-only operations are noted, ${lack}. Add what idempotencyKeySchema() and idempotencyKeySql() print.`
  return new ConfigurationError([{ path: 'idempotency.model', message }], options)
}
