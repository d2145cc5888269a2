/** How often a key is claimed that nobody has, before that is taken for a fault of the table. */
const MOST_TRIES = 3

/**
 * Claims a key by an INSERT … ON CONFLICT DO NOTHING, and looks at what was in its way. The INSERT waits for a
 * transaction that has claimed the key and is not over. If nothing was inserted, and nothing is found either,
 * the other row has been deleted since, and the key is claimed again.
 *
 * Resolves to what one of the two gave. `undefined` if neither of them ever does: another unique key is in
 * the way, or a trigger or a policy suppresses the insert.
 */
export async function claimOrFind<T>(
  claim: () => Promise<T | undefined>,
  find: () => Promise<T | undefined>,
): Promise<T | undefined> {
  for (let attempt = 1; attempt <= MOST_TRIES; attempt++) {
    const settled = (await claim()) ?? (await find())
    if (settled !== undefined) return settled
  }
  return undefined
}
