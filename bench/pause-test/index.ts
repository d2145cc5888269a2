/** All contenders that can be stopped in the middle of something, several at a time: they mostly wait. */
import type { Contender } from '../contender.js'
import type { PauseTestResult } from '../result.js'
import { limiter } from '../support/limiter.js'
import { momentsOf, type PauseEnvironment, pauseHolder, pauseOperationOf, prepareDatabases } from './scenario.js'

/** At a time. Each has two processes, which have to be started on few cores. */
const AT_ONCE = 5

/** In s, about, for the time that is left for the workloads. */
export const PAUSE_TEST_SECONDS = 100

export async function runPauseTest(
  { databases, ...others }: PauseEnvironment,
  contenders: readonly Contender[],
  onProgress: (text: string) => void,
  /** Is given all results so far, whenever there is another one. */
  keep: (results: readonly PauseTestResult[]) => void,
): Promise<void> {
  const tasks = contenders.flatMap((contender) => {
    const operation = pauseOperationOf(contender)
    return operation === undefined ? [] : momentsOf(operation).map((moment) => ({ contender, operation, moment }))
  })
  // They are made and dropped on one connection, which is asked one thing at a time.
  const oneByOne = limiter(1)
  const environment: PauseEnvironment = {
    ...others,
    databases: {
      create: (...args) => oneByOne(() => databases.create(...args)),
      drop: (name) => oneByOne(() => databases.drop(name)),
    },
  }
  if (tasks.length > 0) await prepareDatabases(environment)
  const results: (PauseTestResult | undefined)[] = []
  const waiting = tasks.entries()
  const inTurn = async () => {
    for (const [index, { contender, operation, moment }] of waiting) {
      environment.interrupted.throwIfAborted()
      onProgress(`pause test ${index + 1} of ${tasks.length}, ${contender.id}`)
      results[index] = await pauseHolder(environment, contender, operation, moment)
      keep(results.filter((result) => result !== undefined))
    }
  }
  const ended = await Promise.allSettled(Array.from({ length: AT_ONCE }, inTurn))
  for (const end of ended) if (end.status === 'rejected') throw end.reason
}
