import { masked } from '../message.js'
import type { Activity, Backend, Wait } from './activity.js'
import type { KeyNames } from './key-names.js'
import { type RowKeys, rowName } from './rows.js'

/** All that is known of locks. */
export interface Locks {
  readonly activity: Activity
  readonly keys: RowKeys
  readonly names: KeyNames
}

const LONGEST_QUERY = 200

export function textOf({ activity, keys, names }: Locks): string {
  const { waits, advisory, backends, oldest } = activity
  const known = new Map(backends.map((backend) => [backend.pid, backend]))
  const blocks = waits.map((wait) => {
    const since = wait.waited === null ? '' : ` for ${span(wait.waited)}`
    return [
      `pid ${wait.pid} waits${since} for ${wantedBy(wait, keys, names)}`,
      `  held by ${wait.blockers.map((pid) => (pid === 0 ? 'a prepared transaction' : `pid ${pid}`)).join(', ') || 'nobody any more'}`,
      ...backendLines(known.get(wait.pid)),
    ].join('\n')
  })
  for (const pid of new Set(waits.flatMap(({ blockers }) => blockers))) {
    if (pid === 0 || waits.some((wait) => wait.pid === pid)) continue
    const waiting = waits.filter(({ blockers }) => blockers.includes(pid)).map((wait) => wait.pid)
    blocks.push([`pid ${pid} is waited for by pid ${waiting.join(', ')}`, ...backendLines(known.get(pid))].join('\n'))
  }
  for (const { pid, number, mode } of advisory) {
    const how = mode === 'ShareLock' ? 'shared ' : ''
    blocks.push(
      [`pid ${pid} holds the ${how}${advisoryName(number, names)}`, ...backendLines(known.get(pid))].join('\n'),
    )
  }
  const first = oldest === null ? undefined : known.get(oldest)
  blocks.push(
    first
      ? [`The oldest open transaction is that of pid ${first.pid}`, ...backendLines(first)].join('\n')
      : 'No transaction is open.',
  )
  const count =
    waits.length === 0
      ? 'Nobody waits for a lock.'
      : `${waits.length} ${waits.length === 1 ? 'waits' : 'wait'} for a lock.`
  return [count, ...blocks].join('\n\n')
}

/** The lock that a wait is for, in words. */
export function wantedBy(wait: Wait, keys: RowKeys, names: KeyNames): string {
  const { type, relation, place, transaction, advisory, mode } = wait
  const table = relation && `${relation.schema}.${relation.name}`
  if (advisory !== null) return `the ${advisoryName(advisory, names)}`
  if (place !== null) return `the row ${keys.get(rowName(wait)) ?? `at ${place}`} of ${table}`
  if (type === 'transactionid')
    return `the end of transaction ${transaction}, which inserts the same unique key or changes the row`
  return table ? `the table ${table} (${mode})` : `a ${type} (${mode})`
}

function advisoryName(number: string, names: KeyNames): string {
  const name = names.get(number)
  return name === undefined ? `advisory lock ${number}` : `advisory lock ${number}, which is ${name}`
}

export function backendLines(backend: Backend | undefined): string[] {
  if (backend === undefined) return ['  a connection that is gone, or of another database']
  const { user, application, address, state, inState, inTransaction, query } = backend
  const who = [application && `application ${application}`, user && `user ${user}`, address].filter((part) => part)
  const since = inState === null ? '' : ` for ${span(inState)}`
  const transaction = inTransaction === null ? 'in no transaction' : `in a transaction for ${span(inTransaction)}`
  return [
    `  ${[...who, transaction, state === null ? 'of a role whose work may not be seen' : `${state}${since}`].join(', ')}`,
    ...(query ? [`  ${state === 'active' ? 'runs' : 'ran last'}: ${shortened(query)}`] : []),
  ]
}

function shortened(query: string): string {
  const line = maskedQuery(query).replaceAll(/\s+/g, ' ').trim()
  return line.length > LONGEST_QUERY ? `${line.slice(0, LONGEST_QUERY)} …` : line
}

/** A password in a text of any form of SQL. The server cuts a long statement off, so the text may have no end. */
const PASSWORD = /(password\s+)(?:(?:e|u&)?'(?:[^'\\]|''|\\[\s\S]?)*(?:'|$)|\$(\w*)\$[\s\S]*?(?:\$\2\$|$))/gi

/** A statement may be one that sets a password. */
export function maskedQuery(query: string): string {
  return masked(query).replaceAll(PASSWORD, "$1'***'")
}

export function span(ms: number): string {
  if (ms < 1_000) return `${Math.max(0, Math.round(ms))} ms`
  if (ms < 120_000) return `${(ms / 1_000).toFixed(1)} s`
  if (ms < 7_200_000) return `${Math.round(ms / 60_000)} min`
  return `${Math.round(ms / 3_600_000)} h`
}
