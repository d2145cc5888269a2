import type { Field, Model } from '../engine/data-model.js'
import type { Session } from '../engine/session.js'
import type { Catalogue, Table } from './catalogue.js'

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
  if (missing) throw await missingKey(missing, catalogue.known(missing.model))
}

/** The error of a key that is not there. */
export async function missingKey(key: NeededKey, table: Table | undefined, options?: ErrorOptions): Promise<Error> {
  return (await import('./missing-key.js')).missingKeyError(key, table, options)
}

/** The keys of one feature, which are looked up before its first write. */
export class RequiredKeys {
  /** Whether tables are on shards: a statement is then for one scope. */
  isSharded = false
  readonly #catalogue: Catalogue
  #areThere = false

  /** @param feature whose tables must be on one shard, if they are on shards at all */
  constructor(
    catalogue: Catalogue,
    readonly all: readonly NeededKey[],
    readonly feature?: string,
  ) {
    this.#catalogue = catalogue
  }

  /** @throws ConfigurationError if one of them is not there, or a statement would need several shards */
  async check(session: Pick<Session, 'rows'>): Promise<void> {
    if (this.#areThere) return
    await requireKeys(this.#catalogue, this.all, session)
    this.isSharded = this.all.some(({ model }) => this.#catalogue.known(model)?.shardedBy)
    if (this.isSharded) (await import('./missing-key.js')).requireOneShard(this, this.#catalogue)
    this.#areThere = true
  }
}

export function isThere({ fields }: NeededKey, table: Table | undefined): boolean {
  return (table?.uniqueKeys ?? []).some(({ columns }) => isKey(columns, fields))
}

export function isKey(columns: readonly (string | null)[], fields: readonly Field[]): boolean {
  return columns.length === fields.length && fields.every(({ column }) => columns.includes(column))
}
