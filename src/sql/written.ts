import { madeOnce } from '../engine/made-once.js'
import type { SqlStatement } from '../engine/session.js'
import { Parameter, type Statement } from './statement.js'

/** The text of a statement, and its parameters: a number is the place of one that each call gives. */
export interface Written {
  readonly text: string
  readonly places: readonly (number | Parameter)[]
}

interface Known<K> {
  get(key: K): Written | undefined
  set(key: K, written: Written): unknown
}

/**
 * A statement that is written once for each key: that takes longer than all else that a call does here. The parameters
 * `given` have the values of the call; all else in the statement follows from the key.
 */
export function writtenOnce<K>(
  known: Known<K>,
  key: K,
  given: readonly Parameter[],
  write: () => Statement,
): SqlStatement {
  const { text, places } = madeOnce(known, key, () => {
    const statement = write()
    const parameters = new Set(statement.pieces.filter((piece) => piece instanceof Parameter))
    const placeOf = (parameter: Parameter) => {
      const place = given.indexOf(parameter)
      return place === -1 ? parameter : place
    }
    return { text: statement.text, places: Array.from(parameters, placeOf) }
  })
  return { text, values: places.map((place) => (typeof place === 'number' ? given[place] : place)?.value) }
}
