import { PrismaPg } from '@prisma/adapter-pg'
import { concurrency, type TransactionClient } from 'prisma-extension-concurrency'
import { serials, series, stock } from 'prisma-extension-concurrency/erp'
import { inbox, jobs, type Lease, leases, outbox, replicas, steps } from 'prisma-extension-concurrency/work'
import { type Prisma, PrismaClient } from '../../generated/prisma/client.js'

/** The context of the examples in doc comments. They are compiled, and not run. */
export declare const adapter: PrismaPg
export declare const base: PrismaClient
export { PrismaClient }

// The item of this stock has a simple key.
const extend = (client: PrismaClient) =>
  client
    .$extends(concurrency())
    .$extends(
      stock({
        item: { model: 'Product', key: 'id', onHand: 'stock' },
        movement: { model: 'ProductMovement', item: 'productId' },
      }),
    )
    .$extends(serials())
    .$extends(leases())
    .$extends(jobs())
    .$extends(outbox({ topics: {} as { 'order.created': { orderId: number } } }))
    .$extends(inbox())
    .$extends(steps())
    .$extends(replicas({ clients: [client] }))
    .$extends(series({ series: { invoice: { format: 'INV-{yyyy}-{000000}', document: { model: 'Invoice' } } } }))
export declare const db: ReturnType<typeof extend>
export declare const tx: TransactionClient<typeof db>

export { PrismaPg }
export declare const url: string
export declare function connect(url: string): typeof db
export declare function disconnect(client: typeof db): Promise<void>
export declare function setup(client: typeof db): Promise<void>
export declare function check(client: typeof db): Promise<boolean>
export declare function sellOne(client: typeof db): Promise<void>
export declare function receiveTen(client: typeof db): Promise<void>

export declare const id: number
export declare const orderId: number
export declare const productId: number
export declare const tenantId: number
export declare const a: string
export declare const b: string
export declare const sku: string
export declare const day: string
export declare const at: string
export declare const key: string
export declare const transactionId: string
export declare const basketId: string
export declare const amount: string
export declare const currency: string
export declare const error: unknown
export declare const body: Prisma.OrderCreateInput
export declare const data: Prisma.InvoiceUncheckedCreateInput
export declare const reply: { code(status: number): { send(body?: unknown): void } }
export declare function sendMail(about: unknown): Promise<void>
export declare function writeReport(client: typeof tx): Promise<number>
export declare function writeFile(path: string, text: string): Promise<void>
export declare const signal: AbortSignal
export declare const customer: string
export declare const bank: {
  charge(of: { amount: string; idempotencyKey: string }): Promise<{ id: string; declined?: string }>
}
export declare const mailer: { send(payload: unknown, options: { idempotencyKey: string }): Promise<void> }
export declare const message: { readonly id: string; readonly body: object }
export declare const queue: { acknowledge(of: typeof message): Promise<void> }
export declare function ship(client: typeof tx, order: object): Promise<void>
export declare const lease: Lease
export declare function rebuild(held: Lease): Promise<void>
export declare function pages(from: unknown): AsyncIterable<{ readonly number: number }>
export declare function write(client: typeof tx, page: object): Promise<void>
export declare function report(...found: unknown[]): void
