import type { DataModel, Field, Model } from '../engine/data-model.js'
import { InvalidArgumentError } from '../errors/index.js'
import { isRecord } from '../values/validation.js'
import { type Guard, guardsOf } from './guards.js'
import type { StockMap } from './mapping.js'

type Args = Readonly<Record<string, unknown>>
type Operation = 'create' | 'update'

/** The operations that change the foreign key of a row that is there, from either side of the relation. */
const LINKS = ['connect', 'connectOrCreate', 'set', 'disconnect']
/** On the side of the foreign key, these change it as well. */
const LINKS_OF_OWNER = [...LINKS, 'create', 'delete']
const DELETES = ['delete', 'deleteMany']

/**
 * Keeps the ledger from being bypassed by accident, at top level and nested: refuses other writes
 * of what is on hand and of what is reserved, of an item's key, and of the rows of the ledger. A new
 * item begins with nothing, or with its opening balance.
 */
export class BalanceGuard {
  /** The models that are guarded. */
  readonly models: readonly string[]
  readonly #dataModel: DataModel
  readonly #map: StockMap
  readonly #guards: ReadonlyMap<string, Guard>

  constructor(dataModel: DataModel, map: StockMap) {
    this.#dataModel = dataModel
    this.#map = map
    this.#guards = new Map(guardsOf(map).map((guard) => [guard.model.name, guard]))
    this.models = [...this.#guards.keys()]
  }

  /** @throws InvalidArgumentError if the data of a `create` or an `update` of that model writes what `$stock` keeps */
  check(model: string, operation: Operation, data: unknown, path: string): void {
    for (const [i, item] of (Array.isArray(data) ? data : [data]).entries()) {
      if (isRecord(item)) this.#checkOne(model, operation, item, Array.isArray(data) ? `${path}[${i}]` : path)
    }
  }

  /** @throws InvalidArgumentError if rows of that model must not be deleted */
  checkDelete(model: string, path: string): void {
    const guard = this.#guards.get(model)
    if (guard) throw new InvalidArgumentError(path, guard.delete)
  }

  #checkOne(model: string, operation: Operation, data: Args, path: string): void {
    if (model === this.#map.item.model.name) this.#checkItem(operation, data, path)
    const known = this.#dataModel.get(model)
    for (const [name, value] of Object.entries(data)) {
      const field = known?.fields.get(name)
      if (known && field?.kind === 'relation' && isRecord(value)) {
        this.#checkRelation(known, field, value, `${path}.${name}`)
      }
    }
    const guard = this.#guards.get(model)
    if (guard) this.#checkGuarded(guard, operation, data, path)
  }

  #checkItem(operation: Operation, data: Args, path: string): void {
    const { name, item, history } = this.#map
    const { onHand, reserved, opening } = item
    const begin = opening && data[opening.name]
    if (operation === 'update' && opening && begin !== undefined) {
      throw new InvalidArgumentError(
        `${path}.${opening.name}`,
        `must stay as it is: the balance is the opening balance and all movements. Use ${name}.count for a stocktake.`,
      )
    }
    for (const field of [onHand, reserved, history?.last]) {
      const given = field && data[field.name]
      const value = typeof given === 'bigint' && field === history?.last ? Number(given) : given
      const first = field === onHand ? begin : undefined
      if (field === undefined || (value === undefined && first === undefined)) continue
      if (operation === 'create' && this.#isSame(value ?? 0, first ?? 0)) continue
      throw new InvalidArgumentError(
        `${path}.${field.name}`,
        operation === 'create' && opening && field === onHand
          ? `must be the same as ${opening.name}: an item begins with its opening balance.`
          : `is kept by ${name}, with a movement for every change. Use ${name}.move, or ${name}.count for a stocktake.`,
      )
    }
  }

  #checkGuarded(guard: Guard, operation: Operation, data: Args, path: string): void {
    if (operation === 'create') {
      if (guard.create !== undefined) throw new InvalidArgumentError(path, guard.create)
      return
    }
    for (const [name, value] of Object.entries(data)) {
      const field = guard.model.fields.get(name)
      if (field === undefined || value === undefined) continue
      if (guard.fields.has(field)) throw new InvalidArgumentError(`${path}.${name}`, guard.update)
      if (!holdsGuarded(guard, field) || !isRecord(value)) continue
      const link = LINKS_OF_OWNER.find((link) => isGiven(value[link]))
      if (link !== undefined) throw new InvalidArgumentError(`${path}.${name}.${link}`, guard.update)
    }
  }

  #checkRelation(owner: Model, field: Field, operations: Args, path: string): void {
    const { type, isList } = field
    this.#checkRowsOf(owner, field, operations, path)
    for (const [operation, value] of Object.entries(operations)) {
      for (const item of Array.isArray(value) ? value : [value]) {
        if (!isRecord(item)) continue
        const inside = `${path}.${operation}`
        if (operation === 'create') this.check(type, 'create', item, inside)
        if (operation === 'createMany') this.check(type, 'create', item.data, inside)
        if (operation === 'connectOrCreate' || operation === 'upsert') this.check(type, 'create', item.create, inside)
        if (operation === 'upsert') this.check(type, 'update', item.update, inside)
        // Of a single relation it is the data itself, or `{ where, data }`.
        if (operation === 'update' && !isList) this.check(type, 'update', item, inside)
        if (operation === 'update' || operation === 'updateMany') this.check(type, 'update', item.data, inside)
      }
    }
  }

  /** The relation's rows, where they are guarded: none is deleted, nor linked to another record by a guarded key. */
  #checkRowsOf(owner: Model, field: Field, operations: Args, path: string): void {
    const guard = this.#guards.get(field.type)
    if (!guard) return
    const deletion = DELETES.find((operation) => isGiven(operations[operation]))
    if (deletion !== undefined) throw new InvalidArgumentError(`${path}.${deletion}`, guard.delete)
    const isLinked = [...guard.model.fields.values()].some(
      (other) => isOtherSide(owner, field, other) && holdsGuarded(guard, other),
    )
    const link = isLinked ? LINKS.find((operation) => isGiven(operations[operation])) : undefined
    if (link !== undefined) throw new InvalidArgumentError(`${path}.${link}`, guard.update)
  }

  #isSame(a: unknown, b: unknown): boolean {
    try {
      return this.#map.quantities.read(a, '') === this.#map.quantities.read(b, '')
    } catch {
      return false // Prisma will say what is wrong with it
    }
  }
}

/** Whether a relation's foreign key is in the guarded fields. */
function holdsGuarded(guard: Guard, { foreignKey }: Field): boolean {
  return [...guard.fields].some(({ name }) => foreignKey?.fields.includes(name))
}

function isOtherSide(owner: Model, field: Field, other: Field): boolean {
  return other.type === owner.name && other.relationName === field.relationName && other !== field
}

/** Whether an operation of a nested write does anything. */
function isGiven(value: unknown): boolean {
  return value !== undefined && value !== false && !(Array.isArray(value) && value.length === 0)
}
