/** Whether PostgreSQL can store it: no NUL, and no half of a surrogate pair, which UTF-8 cannot encode. */
export function isStorableText(text: string): boolean {
  // The second test takes its time, and hardly any text needs it.
  return !/[\0\ud800-\udfff]/.test(text) || !/[\0\p{Surrogate}]/u.test(text)
}
