/** Redis as it is shipped, with its data in a folder of its own: one, and three that know nothing of one another. */
import { mkdir } from 'node:fs/promises'
import { join } from 'node:path'
import { freePort } from '../../test/support/server.js'
import { isOnPath } from '../runner/contenders.js'
import { startProgram } from './program.js'
import type { RunningServer, SideServer } from './server.js'

export const REDIS = redis('redis', 1)
export const THREE_REDIS = redis('redis x3', 3)

function redis(name: 'redis' | 'redis x3', count: number): SideServer {
  return {
    name,
    whyMissing: () => (isOnPath('redis-server') ? undefined : 'redis-server is not installed'),
    async start(folder, watch) {
      const servers: RunningServer[] = []
      const stop = async () => void (await Promise.all(servers.map((server) => server.stop())))
      try {
        for (let index = 0; index < count; index++) servers.push(await startOne(join(folder, String(index)), watch))
      } catch (error) {
        await stop()
        throw error
      }
      return { urls: servers.flatMap(({ urls }) => urls), pids: servers.flatMap(({ pids }) => pids), stop }
    },
  }
}

async function startOne(folder: string, watch: (pid: number) => void): Promise<RunningServer> {
  await mkdir(folder)
  const port = await freePort()
  const args = ['--port', String(port), '--bind', '127.0.0.1', '--dir', folder]
  const program = await startProgram({ command: 'redis-server', args, folder, port }, watch)
  return { ...program, urls: [`redis://127.0.0.1:${port}`] }
}
