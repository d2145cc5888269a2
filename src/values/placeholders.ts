/** A part of a format such as `INV-{yyyy}-{000000}`. */
export type Token = { readonly literal: string } | { readonly placeholder: string }

/** The parts of a format; a brace itself is `{{` or `}}`. `undefined` if a brace is without its other half. */
export function tokensOf(text: string): Token[] | undefined {
  const tokens: Token[] = []
  for (const [token] of text.matchAll(/\{\{|\}\}|\{[^{}]*\}|[^{}]+|./gsu)) {
    if (token === '{' || token === '}') return undefined
    if (token === '{{' || token === '}}') tokens.push({ literal: token.slice(1) })
    else tokens.push(token.startsWith('{') ? { placeholder: token.slice(1, -1) } : { literal: token })
  }
  return tokens
}

/** Whether a placeholder is the place of the number, with at least as many digits as it has zeros. */
export function isNumberPlace(placeholder: string): boolean {
  return /^0+$/.test(placeholder)
}
