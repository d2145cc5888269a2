import type { Database } from './database.js'

/** A mail server, which sends a mail once for each idempotency key. */
export class MailServer {
  readonly #sent = new Map<string, string>()
  #failures = 0

  get mails(): readonly string[] {
    return [...this.#sent.values()]
  }

  failNext(times: number): void {
    this.#failures = times
  }

  async send(text: string, { idempotencyKey }: { readonly idempotencyKey: string }): Promise<void> {
    if (this.#failures > 0) {
      this.#failures--
      throw new Error('421 try again later')
    }
    this.#sent.set(idempotencyKey, text)
  }

  async until(count: number): Promise<string | undefined> {
    while (this.#sent.size < count) await new Promise((resolve) => setTimeout(resolve, 20))
    return this.mails[count - 1]
  }
}

/** Sends mails until the signal, and looks at once when it is woken. */
export function startRelay(db: Database, server: MailServer, signal: AbortSignal) {
  let look = () => {}
  const relay = db.$outbox.relay(
    {
      'order.created': async ({ id, payload, attempt }, tx) => {
        const { customer } = await tx.order.findUniqueOrThrow({ where: { id: payload.orderId } })
        await server.send(`to ${customer}, at attempt ${attempt}`, { idempotencyKey: id })
      },
    },
    {
      signal,
      retry: { baseDelay: 10 },
      subscribe: (wake) => {
        look = wake
        return undefined
      },
    },
  )
  // Like all calls of Prisma it begins when it is awaited.
  return { wake: () => look(), ended: relay.then(() => {}) }
}
