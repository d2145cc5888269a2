/**
 * Only names that mean the same to everybody: to PostgreSQL an offset such as `+02:00` points the
 * other way, and `CET` is an abbreviation without daylight-saving time.
 */
export function isTimeZone(name: string): boolean {
  if (name !== 'UTC' && !/^[A-Z]\w*\/[\w/+-]+$/.test(name)) return false
  try {
    new Intl.DateTimeFormat('en', { timeZone: name })
    return true
  } catch {
    return false
  }
}
