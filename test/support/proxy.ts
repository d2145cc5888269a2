import { onTestFinished } from 'vitest'
import { type CuttingProxy, cuttingProxy } from '../../src/testing/cutting-proxy.js'

export type { CuttingProxy as PostgresProxy } from '../../src/testing/cutting-proxy.js'

/** A TCP proxy in front of the server that knows which statement is passing, closed when the test ends. */
export async function openProxy(target: string): Promise<CuttingProxy> {
  const proxy = await cuttingProxy(target)
  onTestFinished(() => proxy.close())
  return {
    ...proxy,
    next(statement, fate) {
      const interception = proxy.next(statement, fate)
      onTestFinished(interception.release) // a client that is to disconnect may wait for it
      return interception
    },
  }
}
