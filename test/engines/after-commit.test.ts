import { beforeEach, describe, expect, test, vi } from 'vitest'
import type { TransactionSession } from '../../src/engine/session.js'
import type { ConcurrencyEvent } from '../../src/index.js'
import { addEffect } from '../../src/transactions/effects.js'
import { describeEngines, rows } from '../support/engines.js'
import { gate } from '../support/gate.js'
import { useInbox } from '../support/inbox.js'
import { useOutbox } from '../support/outbox.js'
import { openProxy } from '../support/proxy.js'
import { rejectionOf } from '../support/rejection.js'

/** A rollback that another run follows. */
const conflict = () => Object.assign(new Error('conflict'), { code: '40001', severity: 'ERROR' })

describeEngines(({ connect: connectTo, name: engine, database }) => {
  const connect = (options: Parameters<typeof connectTo>[1] = {}) => connectTo(engine, options)
  let text = ''
  let ran: string[] = []
  beforeEach((context) => {
    text = context.task.id
    ran = []
  })
  const write = (tx: object) => rows(tx, `INSERT INTO "Note" (text) VALUES ($1)`, text)
  const notes = async () => (await database.query(`SELECT 1 FROM "Note" WHERE text = $1`, [text])).length

  describe.each(['$transaction', '$transactionWithRetry', '$idempotent', '$oncePer', '$withAdvisoryLock'] as const)(
    '$afterCommit in %s',
    (name) => {
      type Db = Awaited<ReturnType<typeof connect>>['db']
      type Body = Parameters<Db['$transaction']>[0]
      const open = (db: Db, body: Body): Promise<unknown> => {
        switch (name) {
          case '$idempotent':
            return db.$idempotent({ key: text, scope: 'after commit' }, body)
          case '$oncePer':
            return db.$oncePer({ job: text, period: { every: '1d' } }, body)
          case '$withAdvisoryLock':
            return db.$withAdvisoryLock(text, body)
          default:
            return db[name](body)
        }
      }

      test('runs the functions once the transaction is committed, in their order, and the call waits for them', async () => {
        const { db } = await connect()
        await open(db, async (tx) => {
          tx.$afterCommit(async () => {
            ran.push(`first, with ${await notes()} note`)
          })
          tx.$afterCommit(() => ran.push('second'))
          await write(tx)
          ran.push('body')
        })
        expect(ran).toEqual(['body', 'first, with 1 note', 'second'])
      })

      test('runs none of them after a rollback', async () => {
        const { db } = await connect()
        const error = await rejectionOf(
          open(db, async (tx) => {
            tx.$afterCommit(() => ran.push('never'))
            await write(tx)
            throw new Error('rolled back')
          }),
        )
        expect([error, ran, await notes()]).toEqual([expect.objectContaining({ message: 'rolled back' }), [], 0])
      })

      test('runs those of a nested body with the others, unless it is rolled back', async () => {
        const { db } = await connect()
        await open(db, async (tx) => {
          tx.$afterCommit(() => ran.push('1'))
          await tx.$transaction(async (inner) => {
            inner.$afterCommit(() => ran.push('2'))
            await inner.$withAdvisoryLock(text + text, async (innermost) => {
              innermost.$afterCommit(() => ran.push('3'))
            })
            expect(() => tx.$afterCommit(() => ran.push('never'))).toThrow(
              expect.objectContaining({ reason: 'nested' }),
            )
          })
          await rejectionOf(
            tx.$transactionWithRetry(async (inner) => {
              inner.$afterCommit(() => ran.push('never'))
              throw new Error('rolled back')
            }),
          )
          tx.$afterCommit(() => ran.push('4'))
          expect(ran).toEqual([])
        })
        expect(ran).toEqual(['1', '2', '3', '4'])
      })

      test('tells an error of a function as an event, runs the next one, and the call does not fail', async () => {
        const events: ConcurrencyEvent[] = []
        const { db } = await connect({ options: { onEvent: (event) => events.push(event) } })
        const failure = new Error('no mail')
        await open(db, async (tx) => {
          tx.$afterCommit(() => {
            throw failure
          })
          tx.$afterCommit(() => ran.push('second'))
          await write(tx)
        })
        const told = events.filter(({ type }) => type === 'after-commit-failed')
        expect([told, ran, await notes()]).toEqual([
          [expect.objectContaining({ operation: name, error: failure })],
          ['second'],
          1,
        ])
      })
    },
  )

  test('without a listener an error of a function is a warning of the process', async () => {
    const { db } = await connect()
    const warn = vi.spyOn(process, 'emitWarning').mockImplementation(() => {})
    await db.$transaction(async (tx) => {
      tx.$afterCommit(() => Promise.reject(new Error('no mail')))
    })
    const warnings = warn.mock.calls.map(([warning]) => warning) // there may be one of others
    warn.mockRestore()
    expect(warnings).toContainEqual(expect.stringMatching(/\$afterCommit has failed.*no mail/))
  })

  test('an attempt that is run again forgets its functions', async () => {
    const { db } = await connect()
    await db.$transactionWithRetry(async (tx, { attempt }) => {
      tx.$afterCommit(() => ran.push(`attempt ${attempt}`))
      await write(tx)
      if (attempt < 3) throw conflict()
    })
    expect([ran, await notes()]).toEqual([['attempt 3'], 1])
  })

  test('a replay runs none', async () => {
    const { db } = await connect()
    const call = () =>
      db.$idempotent({ key: text, scope: 'replay' }, async (tx) => {
        tx.$afterCommit(() => ran.push('once'))
      })
    await call()
    await call()
    expect(ran).toEqual(['once'])
  })

  test.each([
    ['$transactionWithRetry', 'drop'],
    ['$transactionWithRetry', 'cut'],
    ['$idempotent', 'drop'],
    ['$idempotent', 'cut'],
    ['$withAdvisoryLock', 'drop'],
  ] as const)('after a lost COMMIT (%s, %s) they run once, for the run that was committed', async (name, fate) => {
    const proxy = await openProxy(database.url)
    const { db } = await connect({ url: proxy.url })
    const body = async (tx: Parameters<Parameters<typeof db.$transaction>[0]>[0]) => {
      tx.$afterCommit(() => ran.push('once'))
      await write(tx)
    }
    proxy.next(/^COMMIT/, fate)
    if (name === '$idempotent') await db.$idempotent({ key: text, scope: 'lost' }, body)
    else if (name === '$withAdvisoryLock') await db.$withAdvisoryLock(text, body)
    else await db.$transactionWithRetry(body)
    expect([ran, await notes()]).toEqual([['once'], 1])
  })

  test.each(['drop', 'cut'] as const)('a plain $transaction whose COMMIT is lost (%s) runs none', async (fate) => {
    const proxy = await openProxy(database.url)
    const { db } = await connect({ url: proxy.url })
    proxy.next(/^COMMIT/, fate)
    const call = db.$transaction(async (tx) => {
      tx.$afterCommit(() => ran.push('never'))
      await write(tx)
    })
    await rejectionOf(call)
    expect(ran).toEqual([])
  })

  test('a body of $inbox and a handler of a relay have it, and a handler that fails runs none', async () => {
    const told: ConcurrencyEvent[] = []
    const listening = { options: { onEvent: (event: ConcurrencyEvent) => told.push(event) } }
    const failure = new Error('no mail')
    const consumer = await useInbox({ connect: connectTo, name: engine }).open(listening)
    const deliver = () =>
      consumer.$inbox('mail', text, async (tx) => {
        tx.$afterCommit(() => ran.push('inbox'))
        tx.$afterCommit(() => Promise.reject(failure))
      })
    await deliver()
    await deliver()

    const { add, open: openOutbox } = useOutbox({ connect: connectTo, name: engine })
    const sender = await openOutbox({}, listening)
    await add(sender, text, [1])
    await sender.$outbox.relay(
      {
        [text]: async ({ attempt }, tx) => {
          tx.$afterCommit(() => ran.push(`attempt ${attempt}`))
          tx.$afterCommit(() => Promise.reject(failure))
          if (attempt === 1) throw new Error('again')
        },
      },
      { until: 'empty', retry: { baseDelay: 1 } },
    )
    const failed = told.filter(({ type }) => type === 'after-commit-failed')
    expect([ran, failed.map(({ operation }) => operation)]).toEqual([
      ['inbox', 'attempt 2'],
      ['$inbox', '$transactionWithRetry'],
    ])
  })

  test('a lock is given to the next caller before the functions of its holder have run', async () => {
    const { db } = await connect()
    const next = gate()
    const first = db.$withAdvisoryLock(text, async (tx) => {
      tx.$afterCommit(() => next.opened)
    })
    await db.$withAdvisoryLock(text, async () => {})
    next.open()
    await first
  })

  test('is refused outside a transaction, and when its body is over', async () => {
    const { db } = await connect()
    const tx = await db.$transaction(async (tx) => tx)
    expect(() => tx.$afterCommit(() => {})).toThrow(
      expect.objectContaining({ code: 'TRANSACTION_SCOPE', reason: 'over' }),
    )
    if ('$afterCommit' in db) {
      expect(() => (db as unknown as typeof tx).$afterCommit(() => {})).toThrow(
        expect.objectContaining({ code: 'TRANSACTION_REQUIRED' }),
      )
    }
    await db.$transaction(async (tx) => {
      expect(() => tx.$afterCommit('mail' as never)).toThrow(expect.objectContaining({ field: 'fn' }))
    })
  })
})

test('a transaction whose COMMIT nobody sees is refused, with the way out', () => {
  expect(() => addEffect({ scope: {} } as TransactionSession, () => {})).toThrow(/\$transactionWithRetry/)
})
