import { connect, createServer, type Socket } from 'node:net'
import { onTestFinished } from 'vitest'

/** One address in front of several servers: each connection goes to the first that takes it, while it lets any pass. */
export async function openBalancer(targets: readonly string[]) {
  const sockets = new Set<Socket>()
  let isOpen = true
  let refusals = 0
  const server = createServer((client) => {
    sockets.add(client)
    client.on('error', () => {}).on('close', () => sockets.delete(client))
    if (isOpen) join(client, targets)
    else {
      refusals++
      client.destroy()
    }
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  onTestFinished(() => {
    for (const socket of sockets) socket.destroy()
    return new Promise<void>((resolve) => server.close(() => resolve()))
  })
  const { port } = server.address() as { port: number }
  return {
    url: `http://127.0.0.1:${port}`,
    /** Refuses new connections. Those that are there stay. */
    shut: () => void (isOpen = false),
    open: () => void (isOpen = true),
    /** How many connections were refused. */
    refusals: () => refusals,
  }
}

function join(client: Socket, [target, ...others]: readonly string[]): void {
  if (target === undefined) return void client.destroy()
  const { hostname, port } = new URL(target)
  const backend = connect(Number(port), hostname)
  let isConnected = false
  backend.on('connect', () => {
    isConnected = true
    client.pipe(backend).pipe(client)
  })
  backend.on('error', () => {
    if (isConnected) client.destroy()
    else join(client, others)
  })
  backend.on('close', () => isConnected && client.destroy())
  client.on('close', () => backend.destroy())
}
