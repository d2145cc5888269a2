import { setTimeout as sleep } from 'node:timers/promises'
import type { Chance } from '../../support/fuzz/chance.js'
import { type Server, startEmbedded } from '../../support/server.js'
import { type FaultyProxy, openFaultyProxy } from './faulty-proxy.js'
import type { Loss } from './losses.js'
import { query, SERVER_FAULTS, type ServerFault } from './server.js'

/** `alone`: one server; `sync` and `async`: one with a standby that a commit waits for, or does not. */
export type SiteKind = 'alone' | 'sync' | 'async'

/** The servers of a round. */
export interface Site {
  readonly kind: SiteKind
  /** The one that is written to now. */
  readonly server: Server
  readonly faults: readonly ServerFault[]
  /** The server is lost, and its standby takes its place. Tells what of it may be lost as well. */
  failOver(chance: Chance): Promise<Loss>
  close(): Promise<void>
}

export function aloneSite(server: Server): Site {
  const failOver = () => Promise.reject(new Error('It has no standby.'))
  return { kind: 'alone', server, faults: SERVER_FAULTS, failOver, close: async () => {} }
}

/** Two servers on copies of the data of a third, which is away for as long as copying takes. */
export async function pairSite(kind: 'sync' | 'async', from: Server, settings: Record<string, string>): Promise<Site> {
  const servers: Server[] = []
  let link: FaultyProxy | undefined
  await from.restart('SIGINT', async (data) => {
    const names = kind === 'sync' ? '*' : ''
    const primary = await startEmbedded({ data, settings: { ...settings, ...KEEP, synchronous_standby_names: names } })
    link = await openFaultyProxy(primary.url, { seed: 0 })
    const { port, username, password } = new URL(link.url)
    const conninfo = `host=127.0.0.1 port=${port} user=${username} password=${password}`
    const followed = { ...settings, ...KEEP, primary_conninfo: conninfo }
    servers.push(primary, await startEmbedded({ data, isStandby: true, settings: followed }))
  })
  const [primary, standby] = servers
  if (!primary || !standby || !link) throw new Error('The standby did not start.')
  await caughtUp(primary.url)
  return new Pair(kind, { primary, standby, link })
}

/** The standby follows soon after its connection was broken, and finds all that it has missed. */
const KEEP = { wal_keep_size: '512MB', wal_retrieve_retry_interval: '100ms' }

interface Servers {
  readonly primary: Server
  readonly standby: Server
  /** The way from the server to its standby. */
  readonly link: FaultyProxy
}

class Pair implements Site {
  readonly kind: SiteKind
  readonly faults: readonly ServerFault[]
  readonly #servers: Servers
  readonly #positions: Positions
  #hasFailedOver = false

  constructor(kind: SiteKind, servers: Servers) {
    this.kind = kind
    this.#servers = servers
    this.#positions = new Positions(servers.primary.url)
    /** The standby is away for a while: with a synchronous one, no COMMIT is answered. */
    const part: ServerFault = async (_, __, chance) => {
      if (!this.#hasFailedOver) servers.link.refuse(500 + chance.below(3_500))
    }
    this.faults = [...SERVER_FAULTS, part, part]
  }

  get server(): Server {
    return this.#hasFailedOver ? this.#servers.standby : this.#servers.primary
  }

  async failOver(chance: Chance): Promise<Loss> {
    const { primary, standby, link } = this.#servers
    const isBehind = this.kind === 'async' || chance.below(2) === 0
    link.refuse(0)
    await caughtUp(primary.url)
    if (isBehind) {
      link.refuse(60_000)
      await sleep(300 + chance.below(700))
      // Those that wait for the standby leave what they have committed to be seen.
      await query(primary.url, `SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE wait_event = 'SyncRep'`)
      await sleep(chance.below(1_200))
    }
    await primary.end(chance.below(2) === 0 ? 'SIGQUIT' : 'SIGKILL')
    const until = Date.now()
    await query(standby.url, 'SELECT pg_promote()')
    const [row] = await query(standby.url, `SELECT ${position('pg_last_wal_replay_lsn()')}`)
    this.#hasFailedOver = true
    const isAcknowledgedLost = this.kind === 'async'
    const from = isBehind ? this.#positions.momentOf(BigInt(String(row?.position))) : until
    this.#positions.stop()
    return { isAcknowledgedLost, from, until }
  }

  async close(): Promise<void> {
    this.#positions.stop()
    const { primary, standby, link } = this.#servers
    await link.close()
    await Promise.all([primary.stop(), standby.stop()])
  }
}

const position = (of: string) => `pg_wal_lsn_diff(${of}, '0/0')::text AS position`

/** The ends of the log of a server, and their moments. */
class Positions {
  readonly #samples: { readonly moment: number; readonly position: bigint }[] = []
  #isOver = false

  constructor(url: string) {
    void this.#take(url)
  }

  async #take(url: string): Promise<void> {
    while (!this.#isOver) {
      const moment = Date.now()
      const rows = await query(url, `SELECT ${position('pg_current_wal_flush_lsn()')}`, [], 1).catch(() => [])
      if (rows[0]) this.#samples.push({ moment, position: BigInt(String(rows[0].position)) })
      await sleep(100)
    }
  }

  /** All that was acknowledged before it is in the log up to that position. */
  momentOf(position: bigint): number {
    return this.#samples.findLast((sample) => sample.position <= position)?.moment ?? 0
  }

  stop(): void {
    this.#isOver = true
  }
}

/** Resolves when the standby has all that is there now. */
async function caughtUp(url: string): Promise<void> {
  const [row] = await query(url, 'SELECT pg_current_wal_flush_lsn()::text AS now')
  for (;;) {
    const followers = await query(url, 'SELECT FROM pg_stat_replication WHERE replay_lsn >= $1::pg_lsn', [row?.now])
    if (followers.length > 0) return
    await sleep(50)
  }
}
