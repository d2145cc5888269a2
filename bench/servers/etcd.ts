/** One etcd, as it is shipped: it writes every change to its disk before it answers. */
import { freePort } from '../../test/support/server.js'
import { isOnPath } from '../runner/contenders.js'
import { startProgram } from './program.js'
import type { SideServer } from './server.js'

export const ETCD: SideServer = {
  name: 'etcd',
  whyMissing: () => (isOnPath('etcd') ? undefined : 'etcd-server is not installed'),
  async start(folder, watch) {
    const [port, peerPort] = [await freePort(), await freePort()]
    const [url, peerUrl] = [`http://127.0.0.1:${port}`, `http://127.0.0.1:${peerPort}`]
    const options = {
      'data-dir': folder,
      'listen-client-urls': url,
      'advertise-client-urls': url,
      'listen-peer-urls': peerUrl,
      'initial-advertise-peer-urls': peerUrl,
      'initial-cluster': `default=${peerUrl}`,
    }
    const args = Object.entries(options).map(([name, value]) => `--${name}=${value}`)
    const program = await startProgram({ command: 'etcd', args, folder, port }, watch)
    return { ...program, urls: [url] }
  },
}
