import type { Chance } from '../../support/fuzz/chance.js'
import type { Connection } from './connect.js'
import * as sizes from './sizes.js'

export interface Kind {
  readonly name: string
  readonly weight: number
  /** Whether a lost connection of it is told by the package. */
  readonly isOurs: boolean
  /** Whether it has a deadline: all calls of the package but those that hold no place. */
  readonly hasDeadline: boolean
  /** The facts of a call, the key first; the keys that many use at once follow the time, in seconds. */
  facts(chance: Chance, second: number): (string | number)[]
  /**
   * Rejects with a `Refused` where it did not come to the write. It says when its own reads are over, which have no
   * deadline.
   */
  run(connection: Connection, id: string, facts: Facts, hasRead: () => void): Promise<unknown>
}

export type Facts = readonly (string | number)[]

/** The read before a write: where that fails, nothing was written. */
export class Refused extends Error {}
/** Likewise, and it is Prisma's own, which has no deadline. */
export class ReadFailed extends Refused {}

/** A key of this second, which others use now; every third time one of any second up to now. */
export const key = (chance: Chance, second: number) => {
  const { perSecond } = sizes.KEYS
  return [chance.below(3) === 0 ? chance.below((second + 1) * perSecond) : second * perSecond + chance.below(perSecond)]
}
export const num = (fact: string | number | undefined) => Number(fact)

export function ours(name: string, weight: number, facts: Kind['facts'], run: Kind['run']): Kind {
  return { name, weight, isOurs: true, hasDeadline: true, facts, run }
}

/** A call of many statements, each of which has the deadline. */
export function withoutDeadline(name: string, run: Kind['run'], facts: Kind['facts'] = () => []): Kind {
  return { ...ours(name, 1, facts, run), hasDeadline: false }
}
