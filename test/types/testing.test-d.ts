import {
  assertInterleaved,
  type BlockedSession,
  type BrokenOrder,
  cuttingProxy,
  fakeClock,
  gate,
  holdRow,
  type Interleaving,
  interleave,
  untilBlocked,
} from '../../src/testing.js'
import { db, type Equal, type Expect, type Resolved } from './support.js'

declare const url: string
type Db = typeof db
const connect = () => db
const disconnect = (client: Db) => client.$disconnect()
const setup = async () => {}

// The bodies, setup and check get the client of `connect`; check also gets how the bodies ended, each with its own type.
{
  const call = interleave(
    async (client: Db) => (await client.product.count()).toFixed(),
    async () => 7,
    {
      url,
      connect,
      disconnect: (client) => client.$disconnect(),
      setup: (client) => client.product.deleteMany(),
      check(client, { a, b }) {
        type _client = Expect<Equal<typeof client, Db>>
        type _a = Expect<Equal<typeof a, PromiseSettledResult<string>>>
        type _b = Expect<Equal<typeof b, PromiseSettledResult<number>>>
        return client.product.count()
      },
      mayFail(error, body) {
        type _error = Expect<Equal<typeof error, unknown>>
        type _body = Expect<Equal<typeof body, 'a' | 'b'>>
        return false
      },
    },
  )
  type _result = Expect<Equal<Resolved<typeof call>, Interleaving>>
  type _broken = Expect<Equal<Interleaving['broken'], BrokenOrder | undefined>>
}
const body = async (_: Db) => {}
assertInterleaved(body, body, { url, connect, disconnect, setup, check: () => true, maxOrders: 10 })
// @ts-expect-error: a body is given no other client
interleave(async (client: { query(): Promise<void> }) => client.query(), body, {
  url,
  connect,
  disconnect,
  setup,
  check: () => true,
})
// @ts-expect-error: without an invariant there is nothing to find
interleave(body, body, { url, connect, disconnect, setup })
// @ts-expect-error: a body is async, since it sends something
interleave((_: Db) => 7, body, { url, connect, disconnect, setup, check: () => true })

// The others.
{
  const proxy = await cuttingProxy(url)
  const { happened, release } = proxy.next(/^COMMIT/, 'hold')
  type _happened = Expect<Equal<typeof happened, Promise<void>>>
  type _release = Expect<Equal<ReturnType<typeof release>, void>>
  // @ts-expect-error: there is no such fate
  proxy.next(/^COMMIT/, 'lose')
  // @ts-expect-error: a text is no pattern
  proxy.next('COMMIT', 'drop')
  // @ts-expect-error: the list of them is only to be read
  proxy.statements.push('')
}
{
  const sessions = untilBlocked(url, { sessions: 2, timeout: 10 })
  type _sessions = Expect<Equal<Resolved<typeof sessions>, BlockedSession[]>>
  // @ts-expect-error: it takes no such option
  untilBlocked(url, { session: 2 })
  const stranger = await holdRow(url, 'SELECT 1', [1])
  type _pid = Expect<Equal<typeof stranger.pid, number>>
  const inside = gate()
  type _arrived = Expect<Equal<ReturnType<typeof inside.arrived>, Promise<void>>>
  // @ts-expect-error: only `wait` counts
  inside.arrivals = 2
  const clock = fakeClock({ random: () => 0.5 })
  type _now = Expect<Equal<ReturnType<typeof clock.now>, number>>
  // @ts-expect-error: the time is a number of ms
  clock.advance('1s')
}
