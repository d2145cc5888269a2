import { z } from 'zod'
import { Prisma } from '../../generated/prisma/client.js'
import { Problem } from '../http-api/problem.js'
import type { Transaction } from './database.js'
import { type Order, SERIALISED } from './goods.js'

/** An invoice is a document: it keeps the names and prices that it was written with, whatever becomes of them. */
const documentSchema = z.object({
  order: z.int(),
  customer: z.string(),
  lines: z.array(
    z.object({
      productId: z.int(),
      name: z.string(),
      price: z.string(),
      quantity: z.int(),
      serials: z.array(z.string()),
    }),
  ),
  total: z.string(),
})

export type Invoice = { readonly number: string } & z.output<typeof documentSchema>

/** Always from what is stored, so that the first answer and every later one are the same to the byte. */
export const shown = ({ number, data }: { number: string; data: unknown }): Invoice => ({
  number,
  ...documentSchema.parse(data),
})

/**
 * Writes the order and its invoice, for goods that have been taken out of the stock in this
 * transaction. The number comes last: from then on everybody else who wants one waits for the commit.
 */
export async function issueInvoice(tx: Transaction, { transactionId, customer, lines }: Order): Promise<Invoice> {
  const order = await tx.order.create({
    data: { customer, lines: { create: [...lines] } },
    select: {
      id: true,
      lines: {
        select: { productId: true, quantity: true, product: { select: { name: true, price: true } } },
        orderBy: { productId: 'asc' },
      },
    },
  })
  const written: Invoice['lines'] = []
  // By product, as everybody takes them: in opposite orders two could wait for each other's last serials.
  for (const { productId, quantity, product } of order.lines) {
    const serials = SERIALISED.has(productId)
      ? await takeSerials(tx, { transactionId, orderId: order.id, productId, quantity })
      : []
    written.push({ productId, name: product.name, price: product.price.toFixed(2), quantity, serials })
  }
  const total = written.reduce((sum, { price, quantity }) => sum.add(new Prisma.Decimal(price).mul(quantity)), ZERO)
  const data = { order: order.id, customer, lines: written, total: total.toFixed(2) }

  const { text } = await tx.$series.next('invoice', { transactionId })
  return shown(await tx.invoice.create({ data: { number: text, transactionId, orderId: order.id, data } }))
}

const ZERO = new Prisma.Decimal(0)

/** The invoice that a transaction id has been given already. */
export async function findInvoice(
  tx: Transaction,
  { transactionId, customer }: Omit<Order, 'lines'>,
): Promise<Invoice> {
  const { text } = await tx.$series.next('invoice', { transactionId })
  const invoice = shown(await tx.invoice.findUniqueOrThrow({ where: { number: text } }))
  // The lines have been compared with the movements. Of the customer they know nothing.
  if (invoice.customer !== customer) throw new Problem(422, 'Used before', 'It was sent for another customer then.')
  return invoice
}

interface SerialRequest {
  readonly transactionId: string
  readonly orderId: number
  readonly productId: number
  readonly quantity: number
}

async function takeSerials(tx: Transaction, { transactionId, orderId, productId, quantity }: SerialRequest) {
  const { serials } = await tx.$serials.allocate({
    transactionId: `${transactionId}, product ${productId}`,
    where: { productId },
    count: quantity,
    data: { orderId },
  })
  return serials.map(({ number }) => number)
}
