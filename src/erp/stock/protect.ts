import { InvalidArgumentError } from '../../errors.js'
import type { DataModel, Field } from '../../prisma/data-model.js'
import { isRecord } from '../../validation.js'
import type { StockMap } from './mapping.js'

type Args = Readonly<Record<string, unknown>>

/**
 * Keeps the ledger from being bypassed by accident: refuses other writes of what is on hand and of
 * what is reserved, at top level and nested. A new item begins with nothing, or with its opening
 * balance.
 */
export class Protection {
  readonly #dataModel: DataModel
  readonly #map: StockMap

  constructor(dataModel: DataModel, map: StockMap) {
    this.#dataModel = dataModel
    this.#map = map
  }

  /** @throws InvalidArgumentError if the data of a `create` or an `update` of that model writes a balance */
  check(model: string, operation: 'create' | 'update', data: unknown, path: string): void {
    for (const [i, item] of (Array.isArray(data) ? data : [data]).entries()) {
      if (isRecord(item)) this.#checkOne(model, operation, item, Array.isArray(data) ? `${path}[${i}]` : path)
    }
  }

  #checkOne(model: string, operation: 'create' | 'update', data: Args, path: string): void {
    if (model === this.#map.item.model.name) this.#checkItem(operation, data, path)
    const fields = this.#dataModel.get(model)?.fields
    for (const [name, value] of Object.entries(data)) {
      const field = fields?.get(name)
      if (field?.kind === 'relation' && isRecord(value)) this.#checkRelation(field, value, `${path}.${name}`)
    }
  }

  #checkItem(operation: 'create' | 'update', data: Args, path: string): void {
    const { onHand, reserved, opening } = this.#map.item
    const begin = opening && data[opening.name]
    if (operation === 'update' && opening && begin !== undefined) {
      throw new InvalidArgumentError(
        `${path}.${opening.name}`,
        'must stay as it is: the balance is the opening balance and all movements. Use $stock.count for a stocktake.',
      )
    }
    for (const field of [onHand, reserved]) {
      const value = field && data[field.name]
      const first = field === onHand ? begin : undefined
      if (field === undefined || (value === undefined && first === undefined)) continue
      if (operation === 'create' && this.#isSame(value ?? 0, first ?? 0)) continue
      throw new InvalidArgumentError(
        `${path}.${field.name}`,
        operation === 'create' && opening && field === onHand
          ? `must be the same as ${opening.name}: an item begins with its opening balance.`
          : 'is kept by $stock, with a movement for every change. Use $stock.move, or $stock.count for a stocktake.',
      )
    }
  }

  #checkRelation({ type }: Field, operations: Args, path: string): void {
    for (const [operation, value] of Object.entries(operations)) {
      for (const item of Array.isArray(value) ? value : [value]) {
        if (!isRecord(item)) continue
        const inside = `${path}.${operation}`
        if (operation === 'create') this.check(type, 'create', item, inside)
        if (operation === 'createMany') this.check(type, 'create', item.data, inside)
        if (operation === 'connectOrCreate' || operation === 'upsert') this.check(type, 'create', item.create, inside)
        if (operation === 'upsert') this.check(type, 'update', item.update, inside)
        // Of a single relation it is the data itself, or `{ where, data }`.
        if (operation === 'update') this.check(type, 'update', item, inside)
        if (operation === 'update' || operation === 'updateMany') this.check(type, 'update', item.data, inside)
      }
    }
  }

  #isSame(a: unknown, b: unknown): boolean {
    try {
      return this.#map.quantities.read(a, '') === this.#map.quantities.read(b, '')
    } catch {
      return false // Prisma will say what is wrong with it
    }
  }
}
