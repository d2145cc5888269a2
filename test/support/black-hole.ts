import { connect, createServer, type Socket } from 'node:net'
import { onTestFinished } from 'vitest'

/**
 * A way to the server whose connections can be swallowed: from then on nothing passes on those that are open, in neither
 * direction, and neither does their end. New ones pass.
 */
export async function openBlackHole(target: string): Promise<{ readonly url: string; swallow(): void; end(): void }> {
  const { hostname, port } = new URL(target)
  let generation = 0
  const sockets = new Set<Socket>()
  const server = createServer((client) => {
    const born = generation
    const backend = connect(Number(port), hostname)
    for (const [from, to] of [
      [client, backend],
      [backend, client],
    ] as const) {
      sockets.add(from)
      from.on('error', () => {})
      from.on('data', (bytes) => {
        if (born === generation) to.write(bytes)
      })
      from.on('close', () => {
        sockets.delete(from)
        if (born === generation) to.destroy()
      })
    }
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const end = () => {
    for (const socket of sockets) socket.destroy()
  }
  onTestFinished(() => {
    end()
    return new Promise<void>((resolve) => server.close(() => resolve()))
  })
  const url = new URL(target)
  url.hostname = '127.0.0.1'
  url.port = String((server.address() as { port: number }).port)
  return {
    url: url.href,
    swallow() {
      generation++
    },
    /** Of all connections: a pool waits for its own when it is ended. */
    end,
  }
}
