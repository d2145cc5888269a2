import type { CustomTypesConfig, PoolClient } from 'pg'
import { Numeric } from './numeric.js'

/** By the object identifiers of types (pg_type.dat): how this package reads values that Prisma gives in another form than the driver. */
const PARSERS: ReadonlyMap<number, (text: string) => unknown> = new Map<number, (text: string) => unknown>([
  [20, BigInt], // int8
  [1700, (text) => new Numeric(text)], // numeric
  [1082, (text) => momentOf(`${text}T00:00:00Z`)], // date
  [1114, (text) => momentOf(`${text.replace(' ', 'T')}Z`)], // timestamp, which is meant as UTC
  [1184, (text) => momentOf(text.replace(' ', 'T').replace(/([+-]\d\d)$/, '$1:00'))], // timestamptz
])

/** `undefined` for what no Date can be: infinity, or a year before Christ. */
function momentOf(iso: string): Date | undefined {
  const moment = new Date(iso)
  return Number.isNaN(moment.getTime()) ? undefined : moment
}

/** The types of a connection, with our reading of these. */
export function typesOf(connection: PoolClient): CustomTypesConfig {
  return {
    getTypeParser(oid, format) {
      const theirs = connection.getTypeParser(oid, format)
      const own = format === 'binary' ? undefined : PARSERS.get(oid)
      return own === undefined ? theirs : (text: string) => own(text) ?? theirs(text)
    },
  }
}

/** Values as the driver sends them to a column of any type: it would write a Date in the time zone of the process. */
export function parametersOf(values: readonly unknown[]): unknown[] {
  return values.map((value) => {
    if (value instanceof Date) return value.toISOString()
    return Array.isArray(value) ? parametersOf(value) : value
  })
}
