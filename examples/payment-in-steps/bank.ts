import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'

export interface Charge {
  readonly id: string
  /** Why there is none. */
  readonly declined?: string
}

/** A bank as others have it: a request that comes again with its key gets the answer of the first time. */
export async function openBank() {
  const charges = new Map<string, Charge>()
  let requests = 0
  const server = createServer(async (request, response) => {
    requests++
    const key = String(request.headers['idempotency-key'])
    let body = ''
    for await (const part of request) body += part
    const id = `ch_${charges.size + 1}`
    const charge = charges.get(key) ?? (Number(body) > 100 ? { id, declined: 'no cover' } : { id })
    charges.set(key, charge)
    response.end(JSON.stringify(charge))
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    get requests() {
      return requests
    },
    get charges() {
      return charges.size
    },
    close: () => server.close(),
  }
}

export async function charge(bank: string, amount: string, key: string): Promise<Charge> {
  const response = await fetch(bank, { method: 'POST', headers: { 'Idempotency-Key': key }, body: amount })
  return (await response.json()) as Charge
}
