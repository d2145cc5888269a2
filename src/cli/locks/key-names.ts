import type { ClientBase } from 'pg'
import { encodeKeys } from '../../locking/key.js'
import { CONFLICT_TURN } from '../../transactions/conflict-turn.js'
import { UsageError } from '../command.js'

/** The names of advisory locks, by their numbers. */
export type KeyNames = ReadonlyMap<string, string>

/**
 * The numbers of lock keys, made by the database as for the locks themselves. A key is a text, or the JSON of its
 * parts: `report`, `["stock",7]`.
 *
 * @throws UsageError for what is no key
 */
export async function readKeyNames(client: ClientBase, keys: readonly string[]): Promise<KeyNames> {
  const texts = new Map(keys.map((key) => [encodedKey(key), key]))
  texts.set(CONFLICT_TURN, 'the turn of a transaction after a conflict')
  const { rows } = await client.query<{ text: string; number: string }>(
    'SELECT text, hashtextextended(text, 0)::text AS number FROM unnest($1::text[]) AS text',
    [[...texts.keys()]],
  )
  return new Map(rows.map(({ text, number }) => [number, texts.get(text) ?? text]))
}

function encodedKey(key: string): string {
  try {
    const [text] = encodeKeys(key.startsWith('[') ? JSON.parse(key) : key)
    if (text !== undefined) return text
  } catch {
    // the same mistake as no text
  }
  throw new UsageError(`--key ${key} is no lock key: give a text, or the JSON of its parts, such as '["stock",7]'`)
}
