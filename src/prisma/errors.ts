interface Shape {
  readonly code?: unknown
  readonly meta?: Readonly<Record<string, unknown>> | undefined
}

function isShape(value: unknown): value is Shape {
  return typeof value === 'object' && value !== null
}

/** P2025: the record that a call needs is not there. */
export function isRecordNotFound(error: unknown): boolean {
  return isShape(error) && error.code === 'P2025'
}

/** A P2025 of the written record itself, not of a record that a nested write needs. */
export function isOwnRecordNotFound(error: unknown): boolean {
  if (!isRecordNotFound(error)) return false
  const operation = (error as Shape).meta?.operation
  return operation === 'an update' || operation === 'a delete'
}

/** P2002: a unique key is taken. */
export function isUniqueViolation(error: unknown): boolean {
  return isShape(error) && error.code === 'P2002'
}
