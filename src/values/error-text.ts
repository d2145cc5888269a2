/** The longest text of an error that is stored, in characters. */
const LONGEST = 2_000

/** The text of an error, as it can be stored. */
export function errorText(error: unknown): string {
  const text = error instanceof Error ? `${error.name}: ${error.message}` : String(error)
  return text.slice(0, LONGEST).replace(/[\0\p{Surrogate}]/gu, '\ufffd')
}
