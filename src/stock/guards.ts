import type { Field, Model } from '../engine/data-model.js'
import { columnsOfLines, type StockMap } from './mapping.js'

/** The writes of a model of the stock that are refused, and the message of each refusal. */
export interface Guard {
  readonly model: Model
  /** Why no row may be created, where none may. */
  readonly create: string | undefined
  readonly delete: string
  /** Why these fields stay as they are. */
  readonly fields: ReadonlySet<Field>
  readonly update: string
}

/**
 * The balance is the sum of the movements, and a movement knows its item by the key alone. So an
 * item keeps its key and stays, and the rows of the ledger are written by `$stock` alone. Whether an
 * item has movements cannot be asked beforehand: one may come between the question and the DELETE.
 */
export function guardsOf({ name, item, movement, reservation, history, period }: StockMap): readonly Guard[] {
  const { applied, refused, reverses } = movement
  const numbers = history ? [history.sequence, history.balance, history.at, history.slot] : []
  const guards: Guard[] = [
    {
      model: item.model,
      create: undefined,
      delete:
        'is refused: movements and reservations may name the item. Delete it with a client without stock(), ' +
        'or with SQL, once none of them is left there or all are archived.',
      fields: new Set(item.rowKey),
      update:
        'must stay as it is: the movements name the item by its key. ' +
        `Create another item, and move the stock there with ${name}.moveAll.`,
    },
    {
      model: movement.model,
      create: `is refused: movements are recorded by ${name} alone. Use ${name}.move, ${name}.count or ${name}.defer.`,
      delete:
        `is refused: the balance is the sum of the movements. Take one back with ${name}.move, ` +
        'or archive movements with a client without stock().',
      fields: new Set(
        [...columnsOfLines(movement), applied, refused, reverses, period?.date, ...numbers].filter((field) => !!field),
      ),
      update: `must stay as it was recorded: the balance is the sum of the movements. Use ${name}.move for a movement that corrects it.`,
    },
  ]
  if (reservation) {
    guards.push({
      model: reservation.model,
      create: `is refused: what is reserved is kept by ${name}. Use ${name}.reserve.`,
      delete:
        `is refused: what is reserved of an item is the sum of its reservations. Use ${name}.release, ` +
        'or archive those that have ended with a client without stock().',
      // When it expires may be changed: that is no part of any sum.
      fields: new Set(
        [...columnsOfLines(reservation), reservation.state, reservation.fulfilled, reservation.original].filter(
          (field) => !!field,
        ),
      ),
      update: `must stay as it was recorded. Use ${name}.fulfil, ${name}.change or ${name}.release.`,
    })
  }
  return guards
}
