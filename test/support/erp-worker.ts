/** A machine of its own that serves the ERP API of the examples: answers with its URL, and serves until it is killed. */
import { startErp } from '../../examples/erp/server.js'

// The process that started this one is gone, so nobody waits for its answers.
process.once('disconnect', () => process.exit(1))

process.once('message', async ({ url }: { url: string }) => {
  const server = await startErp(url, { foldEvery: 50 })
  process.send?.(server.url)
})
