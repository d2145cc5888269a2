import { type Field, type Model, uniqueKeyOf } from '../engine/data-model.js'
import type { Session } from '../prisma/session.js'
import type { Catalogue, Table } from '../sql/catalogue.js'
import { isThere, missingKey, type NeededKey } from '../sql/unique-keys.js'
import { SingleFlight } from '../sync/single-flight.js'
import type { Where } from './arguments.js'

/** The unique keys by which rows are named. Where the database lacks one, a write could change two rows. */
export class RowKeys {
  readonly #catalogue: Catalogue
  /** The looks of the root client that are under way, by the models' names: calls that come together stay together. */
  readonly #looks = new SingleFlight<void>()

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
    const load = () => this.#catalogue.load([model], scope.query)
    // A transaction must not wait for another connection, which may not be free before it ends.
    await (scope.inTransaction ? load() : this.#looks.join(model.name, load).done)
    const table = this.#catalogue.known(model)
    const [first] = keys
    if (first && !this.#isSure(keys, table)) throw missingKey(first, table?.unfitIndexes ?? [])
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
