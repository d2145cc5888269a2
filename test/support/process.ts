import { fork } from 'node:child_process'
import { once } from 'node:events'
import { fileURLToPath } from 'node:url'
import { onTestFinished } from 'vitest'

/** Runs a file of test/support as a process of its own: sends it its work, resolves to its answer. */
export function runInProcess<Answer>(file: string, work: object): Promise<Answer> {
  return startProcess(file, work).answer<Answer>()
}

/** Starts a file of test/support as a process of its own. If it still runs when the test is over, it is killed. */
export function startProcess(file: string, work: object) {
  const path = fileURLToPath(new URL(file, import.meta.url))
  const child = fork(path, { execArgv: ['--import', 'tsx'] })
  const exited = once(child, 'exit')
  const messaged = once(child, 'message')
  onTestFinished(async () => {
    child.kill('SIGKILL')
    await exited
  })
  child.send(work)
  return {
    /** The first message that it sends. */
    async answer<Answer>(): Promise<Answer> {
      const message = await Promise.race([messaged, exited.then(() => undefined)])
      if (message === undefined) throw new Error(`${file} ended without an answer.`)
      return message[0] as Answer
    },
    /** Ends it at once, without a chance to tidy up. */
    kill: () => void child.kill('SIGKILL'),
    /** Stops it where it is, as a debugger or a paused machine would. */
    stop: () => void child.kill('SIGSTOP'),
  }
}
