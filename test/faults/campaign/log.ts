import { openSync, readFileSync, writeSync } from 'node:fs'

/** Written before a call is made. */
export interface Begin {
  /** The call's own name: worker, incarnation and number. */
  readonly b: string
  /** The moment, in ms. */
  readonly t: number
  readonly k: string
  /** The key that it writes under, and the facts that a check needs. */
  readonly a: readonly (string | number)[]
}

/**
 * Written when it has ended. `no`: an error that says that nothing was written; `away`: an error of the connection
 * from a call of the package, which says it, too; `unknown`: the package says so, or a call of others lost its connection.
 */
export interface End {
  readonly e: string
  readonly t: number
  readonly o: Outcome
  /** The answer, or the error. */
  readonly r?: unknown
}

export type Outcome = 'ok' | 'no' | 'away' | 'unknown'

/** An error that nobody has caught: a rejection that nobody looked at, or an exception of a driver. */
export interface Uncaught {
  readonly x: 'rejection' | 'exception'
  readonly t: number
  readonly r: string
}

/** Written when a call has made its own reads: its deadline begins here. */
export interface HasRead {
  readonly m: string
  readonly t: number
}

/** The process was not run for so many ms before this moment: it was stopped, or others had the processor. */
export interface Stall {
  readonly s: number
  readonly t: number
}

export type Line = Begin | HasRead | End | Uncaught | Stall

/** Each line is with the operating system before the call is made: a worker may be killed at any moment. */
export function logTo(file: string): (line: Line) => void {
  const descriptor = openSync(file, 'a')
  return (line) => void writeSync(descriptor, `${JSON.stringify(line)}\n`)
}

/** A call as the logs tell it. One that was not answered before its worker was killed is `unknown`. */
export interface Call {
  readonly id: string
  readonly kind: string
  readonly facts: readonly (string | number)[]
  readonly from: number
  /** When its deadline began. */
  readonly since: number
  readonly to: number | undefined
  readonly outcome: Outcome
  readonly answer: unknown
}

export interface Log {
  readonly calls: Call[]
  readonly uncaught: Uncaught[]
  /** In their order. */
  readonly stalls: Stall[]
}

export function readLog(file: string): Log {
  const calls = new Map<string, Call>()
  const uncaught: Uncaught[] = []
  const stalls: Stall[] = []
  for (const line of linesOf(file)) {
    if ('b' in line) {
      const { b: id, k: kind, a: facts, t: from } = line
      calls.set(id, { id, kind, facts, from, since: from, to: undefined, outcome: 'unknown', answer: 'not answered' })
    } else if ('m' in line) change(calls, line.m, { since: line.t })
    else if ('e' in line) change(calls, line.e, { to: line.t, outcome: line.o, answer: line.r })
    else if ('s' in line) stalls.push(line)
    else uncaught.push(line)
  }
  return { calls: [...calls.values()], uncaught, stalls }
}

function change(calls: Map<string, Call>, id: string, facts: Partial<Call>): void {
  const call = calls.get(id)
  if (call) calls.set(id, { ...call, ...facts })
}

function linesOf(file: string): Line[] {
  const text = readFileSync(file, 'utf8')
  // The last line of a worker that was killed may be a half.
  const whole = text.slice(0, text.lastIndexOf('\n') + 1)
  return whole
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => JSON.parse(line) as Line)
}
