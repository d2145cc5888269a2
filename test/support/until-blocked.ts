import { untilBlocked as untilBlockedWithin } from '../../src/testing/until-blocked.js'

/** Waits until this many sessions of the database really wait for a lock that another one holds. */
export async function untilBlocked(url: string, sessions = 1): Promise<void> {
  await untilBlockedWithin(url, { sessions, timeout: 100_000 })
}
