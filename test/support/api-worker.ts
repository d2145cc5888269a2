/** A machine of its own that serves the HTTP API of the examples: answers with its URL, and serves until it is killed. */
import { startApi } from '../../examples/http-api/server.js'

process.once('message', async ({ url }: { url: string }) => {
  const server = await startApi(url)
  process.send?.(server.url)
})
