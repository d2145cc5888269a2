/** One ZooKeeper, from Debian's jar: it writes every change to its disk before it answers. */
import { existsSync } from 'node:fs'
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { freePort } from '../../test/support/server.js'
import { isOnPath } from '../runner/contenders.js'
import { startProgram } from './program.js'
import type { SideServer } from './server.js'

/** Where Debian puts it; its manifest names the other jars. */
const JAR = '/usr/share/java/zookeeper.jar'

export const ZOOKEEPER: SideServer = {
  name: 'zookeeper',
  whyMissing() {
    if (!isOnPath('java')) return 'java, which ZooKeeper needs, is not installed'
    return existsSync(JAR) ? undefined : 'zookeeper is not installed'
  },
  async start(folder, watch) {
    const port = await freePort()
    const settings = {
      tickTime: 2_000,
      dataDir: join(folder, 'data'),
      clientPort: port,
      clientPortAddress: '127.0.0.1',
      maxClientCnxns: 0,
      'admin.enableServer': false,
    }
    const file = join(folder, 'zoo.cfg')
    const lines = Object.entries(settings).map(([name, value]) => `${name}=${value}\n`)
    await writeFile(file, lines.join(''))
    const args = ['-cp', JAR, 'org.apache.zookeeper.server.ZooKeeperServerMain', file]
    const program = await startProgram({ command: 'java', args, folder, port }, watch)
    return { ...program, urls: [`127.0.0.1:${port}`] }
  },
}
