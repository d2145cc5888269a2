import { spawn } from 'node:child_process'
import { once } from 'node:events'
import type { Socket } from 'node:net'

/**
 * Ends the server and removes its folder as soon as standard input ends: when it is closed, or
 * when the process that holds the other end is gone, for whatever reason. The lines that it reads
 * are the server's process id, and nothing once it has ended.
 */
const SCRIPT = `
while read -r line; do server=$line; done
if [ -n "$server" ]; then
  kill -QUIT "$server"
  left=200
  while [ -e "$1/data/postmaster.pid" ] && kill -0 "$server" && [ "$left" -gt 0 ]; do
    sleep 0.05
    left=$((left - 1))
  done
fi
rm -rf "$1"
`

/** Outlives this process by as long as it takes to clear up after it. */
export interface Guard {
  watch(server: number): void
  /** The server has ended by itself. */
  forget(): void
  clearUp(): Promise<void>
}

export function startGuard(folder: string): Guard {
  // Not in the process group of a terminal, so that Ctrl-C does not end it too.
  const guard = spawn('sh', ['-c', SCRIPT, 'sh', folder], { detached: true, stdio: ['pipe', 'ignore', 'ignore'] })
  const ended = once(guard, 'exit')
  guard.unref()
  ;(guard.stdin as Socket).unref()
  return {
    watch: (server) => void guard.stdin.write(`${server}\n`),
    forget: () => void (guard.stdin.writable && guard.stdin.write('\n')),
    async clearUp() {
      guard.ref()
      guard.stdin.end()
      await ended
    },
  }
}
