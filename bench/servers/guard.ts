/** Outlives the bench by as long as it takes to end what it has started, and to remove its folder. */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import type { Socket } from 'node:net'

/** Reads process ids, one per line, until standard input ends: when it is closed, or the bench is gone. */
const SCRIPT = `
while read -r line; do servers="$servers $line"; done
for server in $servers; do kill -KILL "$server" 2> /dev/null; done
rm -rf "$1"
`

export function startProcessGuard(folder: string) {
  const guard = spawn('sh', ['-c', SCRIPT, 'sh', folder], { detached: true, stdio: ['pipe', 'ignore', 'ignore'] })
  const ended = once(guard, 'exit')
  guard.unref()
  ;(guard.stdin as Socket).unref()
  return {
    watch: (pid: number) => void guard.stdin.write(`${pid}\n`),
    async clearUp() {
      guard.ref()
      guard.stdin.end()
      await ended
    },
  }
}
