import type { Field, Model } from '../engine/data-model.js'
import type { Session } from '../engine/session.js'
import { ConfigurationError } from '../errors/index.js'
import type { Catalogue, Table, UnfitIndex } from './catalogue.js'
import { columnOf, quoted, tableOf } from './sql.js'

/** A unique key that a feature relies on: without it, duplicates would be recorded in silence. */
export interface NeededKey {
  readonly model: Model
  readonly fields: readonly Field[]
}

/**
 * Looks the keys up in the catalogue, where this was not done before: each must be a unique index that
 * holds for all rows at every moment. A key that is not there is looked for again by the next call.
 *
 * @throws ConfigurationError that names the key, and has the SQL for it
 */
export async function requireKeys(
  catalogue: Catalogue,
  keys: readonly NeededKey[],
  session: Pick<Session, 'rows'>,
): Promise<void> {
  const isMissing = (key: NeededKey) => !isThere(key, catalogue.known(key.model))
  const unsure = keys.filter(isMissing)
  if (unsure.length === 0) return
  await catalogue.load([...new Set(unsure.map(({ model }) => model))], session)
  const missing = unsure.find(isMissing)
  if (missing) throw missingKey(missing, catalogue.known(missing.model)?.unfitIndexes ?? [])
}

/** The keys of one feature, which are looked up before its first write. */
export class RequiredKeys {
  readonly #catalogue: Catalogue
  #areThere = false

  constructor(
    catalogue: Catalogue,
    readonly all: readonly NeededKey[],
  ) {
    this.#catalogue = catalogue
  }

  /** @throws ConfigurationError if one of them is not there */
  async check(session: Pick<Session, 'rows'>): Promise<void> {
    if (this.#areThere) return
    await requireKeys(this.#catalogue, this.all, session)
    this.#areThere = true
  }
}

export function isThere({ fields }: NeededKey, table: Table | undefined): boolean {
  return (table?.uniqueKeys ?? []).some(({ columns }) => isKey(columns, fields))
}

function isKey(columns: readonly (string | null)[], fields: readonly Field[]): boolean {
  return columns.length === fields.length && fields.every(({ column }) => columns.includes(column))
}

const REASONS: Readonly<Record<UnfitIndex['reason'], string>> = {
  partial: 'is partial: it does not hold for all rows',
  deferrable: 'is deferrable: it does not hold before the commit',
  invalid: 'is not valid: it could not be built, and must be dropped first',
  expression: 'is one of expressions, not of the columns themselves',
}

/** For a key that is not in the database, or only in a form that does not keep every two rows apart. */
export function missingKey(key: NeededKey, found: readonly UnfitIndex[], options?: ErrorOptions): ConfigurationError {
  const { model, fields } = key
  const { columns, seen, sql } = describeMissingKey(key, found)
  const names = fields.map(({ name }) => name).join(', ')
  const message =
    `the table ${tableOf(model)} has no unique index of (${columns}), on which this call relies for the key (${names}) of ${model.name}: ` +
    `a duplicate would be written a second time. Nothing was written.${seen} Apply your migrations, or create it, and call again: ${sql}`
  return new ConfigurationError([{ path: '', message }], options)
}

/** The columns of the key, sentences about indexes that are there and do not do, and the SQL that creates the right one. */
export function describeMissingKey({ model, fields }: NeededKey, found: readonly UnfitIndex[]) {
  const columns = fields.map(columnOf).join(', ')
  const unfit = found.filter((index) => isKey(index.columns, fields))
  const seen = unfit.map(({ name, reason }) => ` There is ${quoted(name)}, but it ${REASONS[reason]}.`).join('')
  const name = `${model.table}_${fields.map(({ column }) => column).join('_')}_key`
  const isFree = name.length <= LONGEST_NAME && !found.some((index) => index.name === name)
  const sql = `CREATE UNIQUE INDEX ${isFree ? `${quoted(name)} ` : ''}ON ${tableOf(model)} (${columns});`
  return { columns, seen, sql }
}

const LONGEST_NAME = 63
