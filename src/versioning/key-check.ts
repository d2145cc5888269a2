import type { Model } from '../engine/data-model.js'
import type { RecordSession } from '../engine/records.js'
import type { Catalogue, Table } from '../sql/catalogue.js'
import type { RowKey } from '../sql/row-key.js'
import { isThere, missingKey } from '../sql/unique-keys.js'
import type { Deadline } from '../sync/deadline.js'

interface Look {
  readonly model: Model
  readonly key: RowKey
  readonly deadline: Deadline
}

/** Looks whether the database has the keys by which rows are named. Without them a write could change two rows. */
export class KeyCheck {
  readonly #catalogue: Catalogue
  /** The looks of the root client that are under way, by the models' names: calls that come together stay together. */
  readonly #looks = new Map<string, Promise<void>>()

  constructor(catalogue: Catalogue) {
    this.#catalogue = catalogue
  }

  /**
   * Of the keys that are named, one is enough. `undefined` if it was found before.
   *
   * @throws ConfigurationError if the database has none of them
   */
  find(session: RecordSession, key: RowKey, deadline: Deadline): Promise<void> | undefined {
    const [first] = key.keys
    // A `where` without a key Prisma refuses.
    if (first === undefined || isSure(key, this.#catalogue.known(first.model))) return undefined
    return this.#look(session, { model: first.model, key, deadline })
  }

  async #look(session: RecordSession, { model, key, deadline }: Look): Promise<void> {
    const load = () => this.#catalogue.load([model], session)
    // A transaction must not wait for another connection, which may not be free before it ends.
    // The look of another call is waited for as long as this one allows.
    await (session.inTransaction ? load() : deadline.answered(() => this.#join(model.name, load)))
    const table = this.#catalogue.known(model)
    const [first] = key.keys
    if (first && !isSure(key, table)) throw await missingKey(first, table)
  }

  #join(name: string, load: () => Promise<void>): Promise<void> {
    const look = this.#looks.get(name) ?? load().finally(() => this.#looks.delete(name))
    this.#looks.set(name, look)
    return look
  }
}

/** Of a table without indexes of its own here, such as a foreign one, nothing can be said. */
function isSure({ keys }: RowKey, table: Table | undefined): boolean {
  return table !== undefined && (!table.hasIndexes || keys.some((key) => isThere(key, table)))
}
