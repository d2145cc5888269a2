import { InvalidArgumentError } from '../errors/index.js'

/** How a number becomes the text of a serial: `SN-{000000}` makes `SN-000007` of 7. */
export interface SerialFormat {
  readonly before: string
  readonly after: string
  /** The least number of digits. */
  readonly width: number
}

const TOKENS = /\{\{|\}\}|\{0+\}|[^{}]+|./gsu

/**
 * One place for the number: `{000000}` has room for six digits, filled up with zeros, and `{0}` for
 * any number of them. A brace itself is `{{` or `}}`.
 *
 * @throws InvalidArgumentError if it is no such format, or has no room for the highest number
 */
export function readFormat(text: string, highest: bigint): SerialFormat {
  const tokens = [...text.matchAll(TOKENS)].map(([token]) => token)
  const places = tokens.filter((token) => /^\{0+\}$/.test(token))
  if (tokens.includes('{') || tokens.includes('}') || places.length !== 1) {
    throw new InvalidArgumentError(
      'range.format',
      'must have one place for the number, such as {000000}; a brace itself is written {{ or }}.',
    )
  }
  const place = places[0] as string
  const width = place.length - 2
  if (width > 1 && String(highest).length > width) {
    throw new InvalidArgumentError('range.to', `is ${highest}, and ${place} has no room for it. Give it more digits.`)
  }
  const literal = (parts: readonly string[]) =>
    parts.map((token) => (token === '{{' || token === '}}' ? token.slice(1) : token)).join('')
  const index = tokens.indexOf(place)
  return { before: literal(tokens.slice(0, index)), after: literal(tokens.slice(index + 1)), width }
}
