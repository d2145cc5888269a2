import { connect, createServer, type Socket } from 'node:net'
import { Chance } from '../../support/fuzz/chance.js'

/**
 * The fate of a piece of the conversation, which is about a message of the protocol:
 * - `cut`: both ends break before it is passed on;
 * - `half`: a half of it is passed on, then both ends break;
 * - `drop`: it is passed on, and both ends break instead of the answer;
 * - `abandon`: the client's end breaks at once, and the server still gets it;
 * - `late`: the same, and the server gets it after a while;
 * - `delay`: both ends wait for a little, `stall`: for long, and go on;
 * - `swallow`: nothing comes through any more, and both ends stay open, for longer than any deadline.
 */
const FATES = ['cut', 'half', 'drop', 'abandon', 'late', 'delay', 'stall', 'swallow'] as const
export type Fate = (typeof FATES)[number]

/** How often each fate is drawn: those that take seconds keep what everybody wants for as long. */
const LOT: readonly Fate[] = FATES.flatMap((fate) =>
  Array<Fate>(fate === 'swallow' || fate === 'stall' ? 1 : 8).fill(fate),
)

/** How long a swallowed connection stays open, in ms: no packet of the network breaks it sooner. */
const SWALLOWED_FOR = 9_000

export interface FaultyProxy {
  readonly url: string
  /** How often each fate was met. */
  readonly fates: Readonly<Record<string, number>>
  /** Breaks all connections, and refuses new ones for so many ms; 0: from now on it accepts them. */
  refuse(duration: number): void
  /** From now on a piece of the conversation meets a fault every so many ms on average. 0: everything comes through. */
  breakEvery(duration: number): void
  /** From now on connections go to that server. */
  goTo(target: string): void
  close(): Promise<void>
}

interface Plan {
  readonly seed: number
  /** The fates to draw from. Default: all of them, those that take long more seldom. */
  readonly fates?: readonly Fate[] | undefined
}

/** A proxy in front of the server, whose faults come at moments that the seed has chosen. */
export async function openFaultyProxy(target: string, { seed, fates: lot = LOT }: Plan): Promise<FaultyProxy> {
  let { hostname, port } = new URL(target)
  const fates: Record<string, number> = {}
  const sockets = new Set<Socket>()
  const chance = new Chance(seed)
  let refusedUntil = 0
  let every = 0
  let next = 0

  const server = createServer((client) => {
    client.on('error', () => {})
    if (Date.now() < refusedUntil) {
      client.destroy()
      return
    }
    const backend = connect(Number(port), hostname)
    for (const socket of [client, backend]) {
      sockets.add(socket)
      socket.setNoDelay(true)
      socket.on('error', () => {})
      socket.on('close', () => sockets.delete(socket))
    }
    relay(client, backend, () => {
      const now = Date.now()
      if (every === 0 || now < next) return undefined
      next = now + chance.below(2 * every)
      const fate = chance.pick(lot)
      fates[fate] = (fates[fate] ?? 0) + 1
      return { fate, wait: chance.below(1_000) }
    })
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const breakAll = () => {
    for (const socket of sockets) socket.destroy()
  }
  const url = new URL(target)
  url.hostname = '127.0.0.1'
  url.port = String((server.address() as { port: number }).port)
  return {
    url: url.href,
    fates,
    refuse(duration) {
      refusedUntil = Date.now() + duration
      breakAll()
    },
    breakEvery(duration) {
      every = duration
      next = Date.now() + chance.below(2 * every)
      if (every === 0) refusedUntil = 0
    },
    goTo(target) {
      const url = new URL(target)
      hostname = url.hostname
      port = url.port
    },
    close() {
      breakAll()
      return new Promise<void>((resolve) => server.close(() => resolve()))
    },
  }
}

interface Drawn {
  readonly fate: Fate
  readonly wait: number
}

/** Passes on what comes, both ways, until a fate says otherwise. */
function relay(client: Socket, backend: Socket, draw: () => Drawn | undefined): void {
  let isDropping = false
  let isAbandoned = false
  const breakBoth = () => {
    client.destroy()
    backend.destroy()
  }
  const waitFor = (duration: number, then: () => void) => {
    client.pause()
    backend.pause()
    setTimeout(() => {
      then()
      client.resume()
      backend.resume()
    }, duration)
  }
  const meet = ({ fate, wait }: Drawn, bytes: Buffer, to: Socket): void => {
    const pass = () => void (to.destroyed || to.write(bytes))
    const isToServer = to === backend
    switch (fate) {
      case 'cut':
        breakBoth()
        break
      case 'half':
        to.write(bytes.subarray(0, bytes.length >> 1), breakBoth)
        break
      case 'drop':
        isDropping = isToServer
        if (isToServer) pass()
        else breakBoth()
        break
      case 'abandon':
      case 'late':
        isAbandoned = isToServer
        client.destroy()
        if (isToServer) setTimeout(pass, fate === 'late' ? wait : 0)
        setTimeout(() => backend.destroy(), isToServer ? wait + 200 : 0)
        break
      case 'delay':
        waitFor(wait >> 3, pass)
        break
      case 'stall':
        waitFor(1_000 + wait * 3, pass)
        break
      case 'swallow':
        waitFor(SWALLOWED_FOR + wait, breakBoth)
        break
    }
  }
  client.on('data', (bytes) => {
    const drawn = draw()
    if (drawn) meet(drawn, bytes, backend)
    else backend.write(bytes)
  })
  backend.on('data', (bytes) => {
    if (isDropping) breakBoth()
    if (isDropping || isAbandoned) return
    const drawn = draw()
    if (drawn) meet(drawn, bytes, client)
    else client.write(bytes)
  })
  client.on('close', () => void (isAbandoned || backend.destroy()))
  backend.on('close', () => client.destroy())
}
