import type { MessageRow } from './statements.js'
import type { OutboxMessage } from './types.js'

/** A message as it is given to a handler. One without a key has its id in the place of it. */
export function messageOf(
  topic: string,
  { id, key, position, payload, attempts, createdAt }: MessageRow,
): OutboxMessage {
  return {
    id,
    topic,
    key: key === id ? undefined : key,
    position,
    payload: JSON.parse(payload),
    attempt: attempts + 1,
    createdAt: new Date(createdAt),
  }
}
