/** `$series.next` in the transaction that writes the document, as the guide shows it. */
import type { Contender } from '../../contender.js'
import { createOurs } from '../../support/ours-client.js'

export default {
  id: 'ours/series',
  title: '$series.next, gapless',
  family: 'ours',
  source: 'docs/guide/number-series.md',
  choices:
    'As it comes, in $transactionWithRetry. Beside the document it notes which transaction id has which number, ' +
    'and the text that the format makes of it. Prepared statements.',
  operations: ['nextNumber'],

  async open(env) {
    const db = createOurs(env)
    return {
      async nextNumber(transactionId, name) {
        let runs = 0
        await db.$transactionWithRetry(async (tx) => {
          runs++
          const { value, replayed } = await tx.$series.next(name, { transactionId })
          if (replayed) return // the document is there already
          await tx.document.create({ data: { series: name, number: Number(value), transactionId } })
        })
        return { retries: runs - 1 }
      },
      close: () => db.$disconnect(),
    }
  },
} satisfies Contender
