/** A process of its own that closes and prunes, to be killed in the middle. */
import { type EndsWork, endAll, openEnds } from './ends.js'

process.once('message', async (work: EndsWork) => {
  const { db, close } = await openEnds(work.engine, work.url)
  const outcomes = await endAll(db, work)
  process.send?.(outcomes.map(({ status }) => status))
  await close()
  process.disconnect()
})
