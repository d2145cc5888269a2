import { Problem } from './problem.js'

// draft-ietf-httpapi-idempotency-key-header, section 2.1: a String of RFC 9651, which is in quotes.
const STRING = /^ *"((?:[\x20\x21\x23-\x5B\x5D-\x7E]|\\["\\])*)" *$/

/** @throws Problem 400 if the header is missing, malformed, empty or too long */
export function idempotencyKey(header: string | undefined): string {
  if (header === undefined) {
    throw new Problem(400, 'Idempotency-Key is missing', 'Send a new UUID with each new order, in double quotes.')
  }
  const key = STRING.exec(header)?.[1]?.replace(/\\(["\\])/g, '$1')
  if (key === undefined || key === '' || key.length > 255) {
    throw new Problem(400, 'Idempotency-Key is malformed', 'It must be 1 to 255 ASCII characters in double quotes.')
  }
  return key
}
