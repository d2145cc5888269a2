import { PrismaPg } from '@prisma/adapter-pg'
import { concurrency } from 'prisma-extension-concurrency'
import { outbox } from 'prisma-extension-concurrency/work'
import { PrismaClient } from '../../generated/prisma/client.js'

/** The moves of a parcel. Each of them has a row of the history. */
const PARCEL = {
  field: 'state',
  from: { PENDING: ['PAID', 'CANCELLED'], PAID: ['SHIPPED'] },
  history: { model: 'ParcelMove' },
} as const

export interface Topics {
  readonly 'parcel.moved': { readonly parcelId: number; readonly to: string }
}

export type Database = ReturnType<typeof connect>

export function connect(url: string) {
  return new PrismaClient({ adapter: new PrismaPg({ connectionString: url }) })
    .$extends(concurrency({ transitions: { Parcel: PARCEL } }))
    .$extends(outbox({ topics: {} as Topics }))
}
