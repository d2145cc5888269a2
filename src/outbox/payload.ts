import { InvalidArgumentError } from '../errors/index.js'

/** Half a character, or NUL, which JSON escapes, and PostgreSQL refuses. */
const REFUSED = /(?<!\\)(?:\\\\)*\\u(?:0000|d[89a-f])/i

/**
 * @param path the name of the payload in errors
 * @throws InvalidArgumentError for a value that JSON has no form for
 */
export function payloadText(payload: unknown, path = 'payload'): string {
  let text: string | undefined
  try {
    text = JSON.stringify(payload)
  } catch (error) {
    throw new InvalidArgumentError(path, 'has no form in JSON.', { cause: error })
  }
  if (text === undefined) throw new InvalidArgumentError(path, 'has no form in JSON.')
  if (REFUSED.test(text)) {
    throw new InvalidArgumentError(path, 'must not contain a NUL character or half a character (of a surrogate pair).')
  }
  return text
}
