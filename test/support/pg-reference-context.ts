import { Pool } from 'pg'
import type { concurrency, Lease, PgTransactionClient } from 'prisma-extension-concurrency/pg'

/** The context of the examples of the entry point without Prisma. They are compiled, and not run. */
export { Pool }
export declare const pool: Pool
export declare const connectionString: string
export declare const db: Awaited<ReturnType<typeof concurrency>>
export declare const tx: PgTransactionClient

export declare const amount: number
export declare const from: number
export declare const to: number
export declare const id: number
export declare const productId: number
export declare const tenantId: number
export declare const sku: string
export declare const day: string
export declare const key: string
export declare const body: { readonly customer: string }
export declare const bank: { charge(of: { amount: number; idempotencyKey: string }): Promise<{ id: string }> }
export declare const message: { readonly id: string; readonly body: object }
export declare function ship(client: typeof tx, order: object): Promise<void>
export declare function rebuild(lease: Lease): Promise<void>
export declare function transfer(client: typeof tx, from: number, to: number): Promise<void>
export declare function placeOrder(client: typeof tx, order: typeof body): Promise<number>
export declare function writeReport(client: typeof tx): Promise<number>
