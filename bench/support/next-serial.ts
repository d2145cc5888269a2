/** The look for the next serial, and the taking of it, on a client or a transaction of Prisma's. It guards nothing. */
import type { Prisma } from '../../generated/bench/client.js'

type SerialClient = Pick<Prisma.TransactionClient, 'serial'>

/** The first free serial of an item, to be taken; `undefined` if there is none; `'taken'` if the id has one already. */
export async function findNextSerial({ serial }: SerialClient, transactionId: string, itemId: number) {
  const known = await serial.findFirst({ where: { transactionId, itemId }, select: { id: true } })
  if (known) return 'taken'
  const free = await serial.findFirst({
    where: { itemId, transactionId: null },
    orderBy: { id: 'asc' },
    select: { id: true },
  })
  return free?.id
}

export async function takeSerial({ serial }: SerialClient, id: number, transactionId: string): Promise<void> {
  await serial.update({ where: { id }, data: { transactionId }, select: { id: true } })
}
