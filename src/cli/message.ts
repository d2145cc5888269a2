/**
 * The password of a connection string, in its forms: `//user:password@`, which ends with the last `@`, since a password
 * that is not encoded may have any sign; and `password=` among the parameters, also as `sslpassword=` and `PGPASSWORD=`.
 */
const PASSWORDS: readonly (readonly [RegExp, string])[] = [
  [/(\b[a-z][a-z0-9+.-]*:\/\/[^\s:]*:)\S*(?=@)/gi, '$1***'],
  [/(pass(?:word|wd)?\s*=\s*)('(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*"|[^\s&'"]+)/gi, '$1***'],
]

/** The text without the passwords of connection strings. Everything that a command prints of a URL goes through it. */
export function masked(text: string): string {
  return PASSWORDS.reduce((result, [pattern, mask]) => result.replace(pattern, mask), text)
}

/** A connection string without its password, in which a space counts as any other sign. */
export function maskedUrl(url: string): string {
  return masked(url.replaceAll(/\s/g, '%20'))
}

/** The message of an error, and those of its causes, without a password. */
export function messageOf(error: unknown): string {
  if (!(error instanceof Error)) return masked(String(error))
  // node-postgres gives one error per address of a host, in an error without a message of its own.
  const inner = error instanceof AggregateError ? error.errors.map(messageOf).join('; ') : ''
  const own = error.message === '' ? inner || error.name : error.message
  return masked(error.cause === undefined ? own : `${own}\n  cause: ${messageOf(error.cause)}`)
}
