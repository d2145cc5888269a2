import { InvalidArgumentError } from '../errors/index.js'
import { isNumberPlace, type Token, tokensOf } from '../values/placeholders.js'

/** How a number becomes the text of a serial: `SN-{000000}` makes `SN-000007` of 7. */
export interface SerialFormat {
  readonly before: string
  readonly after: string
  /** The least number of digits. */
  readonly width: number
}

/**
 * One place for the number: `{000000}` has room for six digits, filled up with zeros, and `{0}` for
 * any number of them. A brace itself is `{{` or `}}`.
 *
 * @throws InvalidArgumentError if it is no such format, or has no room for the highest number
 */
export function readFormat(text: string, highest: bigint): SerialFormat {
  const tokens = tokensOf(text) ?? []
  const [place, ...others] = tokens.flatMap((token) => ('placeholder' in token ? [token.placeholder] : []))
  if (place === undefined || others.length > 0 || !isNumberPlace(place)) {
    throw new InvalidArgumentError(
      'range.format',
      'must have one place for the number, such as {000000}; a brace itself is written {{ or }}.',
    )
  }
  const width = place.length
  if (width > 1 && String(highest).length > width) {
    throw new InvalidArgumentError('range.to', `is ${highest}, and {${place}} has no room for it. Give it more digits.`)
  }
  const index = tokens.findIndex((token) => 'placeholder' in token)
  return { before: literalOf(tokens.slice(0, index)), after: literalOf(tokens.slice(index + 1)), width }
}

function literalOf(tokens: readonly Token[]): string {
  return tokens.map((token) => ('literal' in token ? token.literal : '')).join('')
}
