import { expectTypeOf, test } from 'vitest'
import { type Prisma, PrismaClient } from '../../generated/prisma/client.js'
import { concurrency, type OncePerResult, type TransactionContext } from '../../src/index.js'

const db = new PrismaClient({ adapter: null as never }).$extends(concurrency())

test('the result of $idempotent is what the body returns', () => {
  const call = () =>
    db.$idempotent({ key: 'k', scope: 's' }, (tx) => tx.payment.findMany({ select: { amount: true, id: true } }))

  expectTypeOf<Awaited<ReturnType<typeof call>>>().toEqualTypeOf<{
    result: { id: number; amount: Prisma.Decimal }[]
    replayed: boolean
  }>()
})

test('the body of $idempotent gets the transaction client of the extended client, and the context', () => {
  void (() =>
    db
      .$extends({ model: { note: { shout: (text: string) => `${text}!` } } })
      .$idempotent({ key: 'k', scope: 's' }, async (tx, context) => {
        expectTypeOf(context).toEqualTypeOf<TransactionContext>()
        expectTypeOf(tx.note.shout).toEqualTypeOf<(text: string) => string>()
        expectTypeOf(tx.product.updateVersioned).toBeFunction()
        expectTypeOf(tx.$idempotent).toBeFunction()
        // @ts-expect-error a transaction cannot be disconnected
        tx.$disconnect
      }))
})

test('$idempotent needs a key and a scope, and takes the options of a transaction that writes', () => {
  const body = async () => 1
  void (() => {
    db.$idempotent(
      {
        key: 'k',
        scope: 's',
        request: { any: [1n] },
        whileRunning: 'refuse',
        timeout: 5,
        isolationLevel: 'Serializable',
      },
      body,
    )
    db.$idempotent({ key: 'k', scope: 's', retry: { attempts: 3 }, signal: new AbortController().signal }, body)
    // @ts-expect-error the scope is missing
    db.$idempotent({ key: 'k' }, body)
    // @ts-expect-error the key is missing
    db.$idempotent({ scope: 's' }, body)
    // @ts-expect-error a key is a string
    db.$idempotent({ key: 5, scope: 's' }, body)
    // @ts-expect-error there is no such way
    db.$idempotent({ key: 'k', scope: 's', whileRunning: 'skip' }, body)
    // @ts-expect-error an operation writes at least its key
    db.$idempotent({ key: 'k', scope: 's', readOnly: true }, body)
    // @ts-expect-error the body is asynchronous
    db.$idempotent({ key: 'k', scope: 's' }, () => 1)
  })
})

test('the result of $oncePer is there only if the job ran', () => {
  const call = () => db.$oncePer({ job: 'j', period: { every: '1h' } }, async () => 'done')

  expectTypeOf<Awaited<ReturnType<typeof call>>>().toEqualTypeOf<OncePerResult<string>>()
  void (async () => {
    const outcome = await call()
    if (outcome.ran) expectTypeOf(outcome.result).toEqualTypeOf<string>()
    else expectTypeOf(outcome.since).toEqualTypeOf<Date | undefined>()
  })
})

test('$oncePer needs a job and a period, which is a name or a length of time', () => {
  const body = async () => 1
  void (() => {
    db.$oncePer({ job: 'j', period: '2026-11-24', timeout: 60_000 }, body)
    db.$oncePer({ job: 'j', period: { every: 3_600_000 } }, body)
    // @ts-expect-error the period is missing
    db.$oncePer({ job: 'j' }, body)
    // @ts-expect-error a date is no period
    db.$oncePer({ job: 'j', period: new Date() }, body)
    // @ts-expect-error who comes second never waits
    db.$oncePer({ job: 'j', period: 'p', whileRunning: 'wait' }, body)
  })
})

test('all three are there inside a transaction too', () => {
  void (() =>
    db.$transaction(async (tx) => {
      await tx.$idempotent({ key: 'k', scope: 's' }, async (inner) => inner.note.count())
      await tx.$oncePer({ job: 'j', period: 'p' }, async (inner) => inner.note.count())
      expectTypeOf(await tx.$pruneIdempotencyKeys({ olderThan: 5 })).toEqualTypeOf<{ count: number }>()
      // @ts-expect-error the age is missing
      await tx.$pruneIdempotencyKeys({ batchSize: 5 })
    }))
})
