/**
 * One text per value: two values have the same text exactly when a database would take them for
 * the same argument. Keys of an object are sorted; `1` and `'1'`, a Date and its ISO text, stay
 * apart. Used as the name of a row or of a request.
 */
export function canonical(value: unknown): string {
  switch (typeof value) {
    case 'string':
      return JSON.stringify(value)
    case 'bigint':
      return String(value) // an Int column takes 1n and 1 for the same row
    case 'object':
      return value === null ? 'null' : canonicalObject(value)
    default:
      return String(value)
  }
}

function canonicalObject(value: object): string {
  if (value instanceof Date) return `date:${value.getTime()}`
  if (ArrayBuffer.isView(value)) return `bytes:${hex(value)}`
  if (Array.isArray(value)) return `[${value.map(canonical).join(',')}]`
  if (isDecimal(value)) return `decimal:${value.toFixed()}`
  // A URL, a Map or the fields of a form have no properties of their own.
  if ('toJSON' in value && typeof value.toJSON === 'function') return canonical(value.toJSON())
  if (Symbol.iterator in value) return canonical(Array.from(value as Iterable<unknown>))
  const entries = Object.entries(value).filter(([, item]) => item !== undefined)
  entries.sort(([a], [b]) => (a < b ? -1 : a > b ? 1 : 0))
  return `{${entries.map(([key, item]) => `${JSON.stringify(key)}:${canonical(item)}`).join(',')}}`
}

/** Lower-case hexadecimal text of bytes. */
export function hex(view: ArrayBufferView): string {
  const bytes = new Uint8Array(view.buffer, view.byteOffset, view.byteLength)
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, '0')).join('')
}

/** A `Decimal` of Prisma, of decimal.js, or a look-alike that Prisma itself takes for one. */
export function isDecimal(value: object): value is { toFixed(): string } {
  if (!('toFixed' in value && 's' in value && 'e' in value && 'd' in value)) return false
  if (typeof value.toFixed !== 'function') return false
  // NaN and Infinity have no digits.
  if (Object.prototype.toString.call(value) === '[object Decimal]') return true
  return typeof value.s === 'number' && typeof value.e === 'number' && Array.isArray(value.d)
}
