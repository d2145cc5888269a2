import { type Field, type Model, uniqueKeyOf } from '../engine/data-model.js'
import type { Session } from '../prisma/session.js'
import type { Catalogue, Table } from '../sql/catalogue.js'
import { isThere, missingKey, type NeededKey } from '../sql/unique-keys.js'
import type { Where } from './arguments.js'

/** The unique keys by which rows are named. Where the database lacks one, a write could change two rows. */
export class RowKeys {
  readonly #catalogue: Catalogue
  /** The looks of the root client that are under way, by the models' names. */
  readonly #looks = new Map<string, Promise<void>>()

  constructor(catalogue: Catalogue) {
    this.#catalogue = catalogue
  }

  /**
   * Looks for the keys in `where`, of which one is enough. `undefined` if they were found before.
   *
   * @throws ConfigurationError if the database has none of them
   */
  check(scope: Session, model: Model, where: Where): Promise<void> | undefined {
    const keys = keysIn(where, model)
    return this.#isSure(keys, this.#catalogue.known(model)) ? undefined : this.#look(scope, model, keys)
  }

  async #look(scope: Session, model: Model, keys: readonly NeededKey[]): Promise<void> {
    // A transaction must not wait for another connection, which may not be free before it ends.
    await (scope.inTransaction ? this.#catalogue.load([model], scope.query) : this.#lookTogether(scope, model))
    const table = this.#catalogue.known(model)
    const [first] = keys
    if (first && !this.#isSure(keys, table)) throw missingKey(first, table?.unfitIndexes ?? [])
  }

  /** Calls at once on the root client wait for one look, so that they stay together. */
  #lookTogether(root: Session, model: Model): Promise<void> {
    const underWay = this.#looks.get(model.name)
    if (underWay) return underWay
    const look = this.#catalogue.load([model], root.query).finally(() => this.#looks.delete(model.name))
    this.#looks.set(model.name, look)
    return look
  }

  /** A `where` without a key Prisma refuses. Of what has no indexes here, such as a foreign table, nothing can be said. */
  #isSure(keys: readonly NeededKey[], table: Table | undefined): boolean {
    return keys.length === 0 || (table !== undefined && (!table.hasIndexes || keys.some((key) => isThere(key, table))))
  }
}

function keysIn(where: Where, model: Model): NeededKey[] {
  return Object.entries(where).flatMap(([name, value]) => {
    const names = value === undefined ? undefined : uniqueKeyOf(model, name)
    return names ? [{ model, fields: names.map((field) => model.fields.get(field) as Field) }] : []
  })
}
