/** Notes on the error how often the work ran. The error stays the one that was thrown. */
export function withAttempts(error: unknown, attempts: number): unknown {
  if (typeof error === 'object' && error !== null && Object.isExtensible(error)) {
    Reflect.defineProperty(error, 'attempts', { value: attempts, configurable: true, enumerable: true, writable: true })
  }
  return error
}

/** The number of attempts that is noted on the one error, also on the other. */
export function sameAttempts(error: unknown, other: unknown): unknown {
  const { attempts } = Object(other) as { readonly attempts?: number }
  return attempts === undefined ? error : withAttempts(error, attempts)
}
