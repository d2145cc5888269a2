/** The two bodies of `interleave`. */
export type BodyName = 'a' | 'b'

/** A statement of an order. */
export interface OrderStep {
  readonly body: BodyName
  /** The SQL, without its values. */
  readonly statement: string
  /**
   * If the statement had to wait for a lock: the number of the step that ended the wait, counted from 1; its own if the
   * database ended the wait, as in a deadlock. `undefined` if it did not wait.
   */
  readonly waitedFor: number | undefined
}

/**
 * An order of statements that breaks the invariant. It is an error, whose message shows the order and whose `cause` is
 * what the check threw, or what a body ended with.
 */
export class BrokenOrder extends Error {
  readonly steps: readonly OrderStep[]
  /** The steps as text, a line for each. */
  readonly order: string
  /** How the bodies ended. */
  readonly results: { readonly a: PromiseSettledResult<unknown>; readonly b: PromiseSettledResult<unknown> }

  constructor({ steps, results, cause }: Pick<BrokenOrder, 'steps' | 'results' | 'cause'>) {
    const order = textOf(steps)
    super(`${reason(cause)}, when the statements come in this order:\n\n${order}\n`, { cause })
    this.name = 'BrokenOrder'
    this.steps = steps
    this.order = order
    this.results = results
  }
}

function textOf(steps: readonly OrderStep[]): string {
  const width = String(steps.length).length
  return steps
    .map(({ body, statement, waitedFor }, index) => {
      const wait = waitedFor === undefined ? '' : waitedFor > index + 1 ? ` (waits for ${waitedFor})` : ' (waits)'
      return `${String(index + 1).padStart(width)}  ${body}  ${shortened(statement)}${wait}`
    })
    .join('\n')
}

/** Longer statements are shown without their columns, and cut. */
const LONGEST_LINE = 110

function shortened(statement: string): string {
  const line = statement.trim().replaceAll(/\s+/g, ' ')
  if (line.length <= LONGEST_LINE) return line
  const short = line.replaceAll(/\bSELECT .+? FROM\b/g, 'SELECT … FROM').replace(/ RETURNING .+$/, ' RETURNING …')
  return short.length <= LONGEST_LINE ? short : `${short.slice(0, LONGEST_LINE)}…`
}

function reason(error: unknown): string {
  const text = error instanceof Error ? error.message : String(error)
  return text.trim().split('\n')[0] || 'The invariant is broken'
}
