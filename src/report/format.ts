const ENTITIES: Readonly<Record<string, string>> = {
  '&': '&amp;',
  '<': '&lt;',
  '>': '&gt;',
  '"': '&quot;',
  "'": '&#39;',
}

/** A text as it is written in HTML. */
export function escaped(text: string | number): string {
  return String(text).replace(/[&<>"']/g, (character) => ENTITIES[character] ?? character)
}

/** Three digits are enough. */
export function rounded(value: number): string {
  return String(Number(value.toPrecision(3)))
}

export function percent(share: number): string {
  return `${rounded(100 * share)} %`
}
