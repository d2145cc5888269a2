// The client module of an application, for the tests of the command.
import { PrismaPg } from '@prisma/adapter-pg'
import { concurrency } from 'prisma-extension-concurrency'
import { serials, series, stock } from 'prisma-extension-concurrency/erp'
import { PrismaClient } from '../../generated/prisma/client.js'

export const base = new PrismaClient({ adapter: new PrismaPg({ connectionString: process.env.DATABASE_URL }) })

export const db = base
  .$extends(concurrency())
  .$extends(
    stock({
      item: { model: 'Stock', key: ['productId', 'warehouse'] },
      movement: { model: 'StockMovement' },
      reservation: { model: 'StockReservation' },
    }),
  )
  .$extends(serials())
  .$extends(series())
