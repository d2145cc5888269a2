import { createHash } from 'node:crypto'
import { beforeEach, describe, expect, test } from 'vitest'
import type { ConcurrencyEvent } from '../../src/index.js'
import type { Operation } from '../../src/steps/types.js'
import { describeEngines, type EngineName } from '../support/engines.js'
import { gate } from '../support/gate.js'
import { openProxy } from '../support/proxy.js'
import { rejectionOf } from '../support/rejection.js'
import { note as noteIn, notesOf, OtherSide, operationRow, pay, useSteps } from '../support/steps.js'
import { untilBlocked } from '../support/until-blocked.js'

describeEngines(({ connect, database, name, other }) => {
  const { open } = useSteps({ connect, name })
  /** One client for all tests of an engine that need no other. */
  const made = new Map<EngineName, ReturnType<typeof open>>()
  const connected = (on = name) => {
    if (!made.has(on)) made.set(on, open({}, on))
    return made.get(on) as ReturnType<typeof open>
  }
  let key = ''
  beforeEach((context) => {
    key = context.task.id
  })
  const of = (more: object = {}) => ({ key, scope: 'tests', ...more })
  const note = (tx: object, text: string) => noteIn(tx, `${key} ${text}`).then(() => text)
  const notes = () => notesOf(database, key)
  const row = () => operationRow(database, key)
  const sha256 = (text: string) => createHash('sha256').update(text).digest('hex')
  const never = () => Promise.reject(new Error('must not run'))

  describe('$steps', () => {
    test('does each step once, and answers every later call, also of another engine, with the stored result', async () => {
      const [db, their, side] = [await connected(), await connected(other), new OtherSide()]

      const first = await db.$steps(of({ request: { amount: 7 } }), pay(key, side.charge))
      const again = await their.$steps(of({ request: { amount: 7 } }), never)

      expect([first, again]).toEqual([
        { result: 1, replayed: false },
        { result: 1, replayed: true },
      ])
      expect(await notes()).toEqual(['reserve', 'book 1'])
      expect(side.calls).toEqual([sha256(JSON.stringify(['tests', key, 'charge']))])
      expect(await row()).toMatchObject({
        state: 'done',
        steps: [{ name: 'reserve' }, { name: 'charge' }, { name: 'book' }],
      })
    })

    test('goes on behind the last step, on any machine, with the answers as they were', async () => {
      const [db, their] = [await connected(), await connected(other)]
      const answer = {
        when: new Date(0),
        big: 2n ** 60n,
        bytes: new Uint8Array([1, 2]),
        nothing: undefined,
        text: 'a\0"',
      }
      const seen: unknown[] = []
      const body = (isDown: boolean) => async (op: Parameters<Parameters<typeof db.$steps>[1]>[0]) => {
        seen.push(await op.step('one', (tx) => note(tx, 'one').then(() => answer)))
        seen.push(await op.external('two', async (given) => [given, answer]))
        if (isDown) throw new Error('the process ends here')
        await op.step('three', (tx) => note(tx, 'three'))
      }

      await rejectionOf(db.$steps(of(), body(true)))
      expect((await row()).state).toBe('running')
      await their.$steps(of(), body(false))

      expect(seen.slice(2)).toEqual(seen.slice(0, 2))
      expect(seen[0]).toEqual(answer)
      expect(await notes()).toEqual(['one', 'three'])
    })

    test('ends a run with the step that fails, which leaves nothing, also if the body goes on', async () => {
      const db = await connected()
      const error = new Error('not now')
      const failing = db.$steps(of(), async (op) => {
        await op
          .step('one', async (tx) => {
            await note(tx, 'one')
            throw error
          })
          .catch(() => {})
        await op.step('two', (tx) => note(tx, 'two')).catch(() => {})
      })

      expect(await rejectionOf(failing)).toBe(error)
      expect([await notes(), (await row()).steps]).toEqual([[], []])
      await db.$steps(of(), (op) => op.step('one', (tx) => note(tx, 'one again')))
      expect(await notes()).toEqual(['one again'])
    })

    test('a step that the body has not waited for belongs to the operation all the same', async () => {
      const db = await connected()
      await db.$steps(of(), async (op) => {
        op.step('one', (tx) => note(tx, 'one'))
      })
      expect([await notes(), await row()]).toMatchObject([['one'], { state: 'done', steps: [{ name: 'one' }] }])
    })

    test('makes an external call again, with the same key, when its answer is not known', async () => {
      const [db, side] = [await connected(), new OtherSide()]
      const lost = async (given: string) => {
        await side.charge(given)
        throw new Error('the connection to the other side was lost')
      }

      await rejectionOf(db.$steps(of(), pay(key, lost)))
      expect((await row()).steps).toMatchObject([{ name: 'reserve' }, { name: 'charge' }])
      await db.$steps(of(), pay(key, side.charge))

      expect([side.calls.length, side.charges, await notes()]).toEqual([2, 1, ['reserve', 'book 1']])
    })

    test('is one call at a time for each operation in a process; others are told when they have waited too long', async () => {
      const [db, held, inside] = [await connected(), gate(), gate()]
      const first = db.$steps(of(), (op) =>
        op.external('one', async () => {
          inside.open()
          await held.opened
          return 1
        }),
      )
      await inside.opened
      const hasty = db.$steps(of({ retry: { deadline: 50 } }), never)
      expect(await rejectionOf(hasty)).toMatchObject({ code: 'IDEMPOTENCY_IN_PROGRESS', key })
      const patient = db.$steps(of(), never)
      held.open()
      expect([await first, await patient]).toMatchObject([{ replayed: false }, { replayed: true }])
    })

    test.each(['can tell', 'cannot tell'])(
      'a lost COMMIT of which the server %s what became of it is found out by the row, with its functions of $afterCommit',
      async (what) => {
        const rename = async (from: string, to: string) => {
          if (what === 'cannot tell') await database.query(`ALTER FUNCTION pg_catalog.${from}(xid8) RENAME TO ${to}`)
        }
        const proxy = await openProxy(database.url)
        const db = await open({ url: proxy.url })
        const ran: string[] = []
        await rename('pg_xact_status', 'hidden')
        await db.$steps(of(), async (op) => {
          await op.step('one', async (tx) => {
            tx.$afterCommit(() => ran.push('one'))
            await note(tx, 'one')
            proxy.next(/^COMMIT/, 'drop')
          })
        })
        await rename('hidden', 'pg_xact_status')
        expect([ran, await notes()]).toEqual([['one'], ['one']])
      },
    )

    test('tells listeners of replays and refusals', async () => {
      const events: ConcurrencyEvent[] = []
      const db = await open({ options: { onEvent: (event) => void events.push(event) } })
      const refused = { ...of(), scope: 'refused' }
      await db.$steps(of(), (op) => op.step('one', (tx) => note(tx, 'one')))
      await db.$steps(of(), never)
      await rejectionOf(db.$steps(refused, async (op) => op.refuse('no')))
      const told = events.filter(({ type }) => type === 'replay' || type === 'refusal')
      expect(told).toMatchObject([
        { type: 'replay', operation: '$steps' },
        { type: 'refusal', operation: '$steps', code: 'OPERATION_REFUSED' },
      ])
    })
  })

  describe('op.refuse', () => {
    type Db = Awaited<ReturnType<typeof open>>
    /** Three steps that can be undone; the second one is that of the other side. */
    const undoable =
      (undos: string[], end: (op: Parameters<Parameters<Db['$steps']>[1]>[0]) => unknown, failing?: string) =>
      async (op: Parameters<Parameters<Db['$steps']>[1]>[0]) => {
        const undo = (step: string) => async (tx: object, answer: unknown) => {
          undos.push(`${step} ${answer}`)
          if (step !== 'two') await note(tx, `undo ${step}`)
          if (step === failing) throw new Error(`cannot undo ${step}`)
        }
        await op.step('one', { run: (tx) => note(tx, 'one'), undo: undo('one') })
        await op.external('two', {
          run: async () => 'charge 2',
          undo: async (given, answer) =>
            undo(given === sha256(JSON.stringify(['tests', key, 'two', 'undo'])) ? 'two' : '?')({}, answer),
        })
        await op.step('free', async () => 'nothing to undo')
        await op.step('three', { run: (tx) => note(tx, 'three'), undo: undo('three') })
        await end(op)
      }

    test('undoes the steps, the last one first, and everybody who asks again gets the stored refusal', async () => {
      const [db, their] = [await connected(), await connected(other)]
      const undos: string[] = []

      const refused = await rejectionOf(
        db.$steps(
          of(),
          undoable(undos, (op) => op.refuse({ reason: 'declined', at: new Date(0) })),
        ),
      )
      const again = await rejectionOf(their.$steps(of(), never))

      expect(undos).toEqual(['three three', 'two charge 2', 'one one'])
      expect(await notes()).toEqual(['one', 'three', 'undo three', 'undo one'])
      const expected = {
        code: 'OPERATION_REFUSED',
        key,
        scope: 'tests',
        answer: { reason: 'declined', at: new Date(0) },
      }
      expect([refused, again]).toMatchObject([expected, expected])
      expect((await row()).state).toBe('refused')
    })

    test('in a step it rolls that one back, also if its function catches it', async () => {
      const db = await connected()
      const refused = db.$steps(of(), async (op) => {
        await op.step('one', { run: (tx) => note(tx, 'one'), undo: (tx) => note(tx, 'undo one') })
        await op.step('two', async (tx) => {
          await note(tx, 'two')
          try {
            op.refuse('sold out')
          } catch {}
        })
      })

      expect(await rejectionOf(refused)).toMatchObject({ code: 'OPERATION_REFUSED', answer: 'sold out' })
      expect(await notes()).toEqual(['one', 'undo one'])
    })

    test('behind a step that has failed it is a refusal, and a body that swallows it is refused all the same', async () => {
      const db = await connected()
      const refused = db.$steps(of(), async (op) => {
        try {
          await op.step('one', async () => Promise.reject(new Error('sold out')))
        } catch (error) {
          try {
            op.refuse(String(error))
          } catch {}
        }
        return 'fine'
      })
      expect(await rejectionOf(refused)).toMatchObject({ code: 'OPERATION_REFUSED', answer: 'Error: sold out' })
      expect(await row()).toMatchObject({ state: 'refused', steps: [] })
    })

    test('is not possible while the answer of an external call is not known', async () => {
      const [db, side] = [await connected(), new OtherSide()]
      const careless = db.$steps(of(), async (op) => {
        await op
          .external('charge', async (given) => {
            await side.charge(given)
            throw new Error('timeout')
          })
          .catch(() => op.refuse('declined'))
      })
      expect(await rejectionOf(careless)).toMatchObject({ code: 'INVALID_ARGUMENT', field: 'answer' })
      expect((await row()).state).toBe('running')
      expect((await db.$steps(of(), (op) => op.external('charge', side.charge))).result).toBe(1)
    })

    test('an undo that fails is gone on with by the next call, behind those that are done', async () => {
      const [db, their] = [await connected(), await connected(other)]
      const undos: string[] = []

      const failed = await rejectionOf(
        db.$steps(
          of(),
          undoable(undos, (op) => op.refuse('no'), 'one'),
        ),
      )
      expect([failed, (await row()).state]).toMatchObject([{ message: 'cannot undo one' }, 'refusing'])
      const refused = await rejectionOf(
        their.$steps(
          of(),
          undoable(undos, () => never()),
        ),
      )

      expect(refused).toMatchObject({ code: 'OPERATION_REFUSED', answer: 'no' })
      expect(undos).toEqual(['three three', 'two charge 2', 'one one', 'one one'])
      expect(await notes()).toEqual(['one', 'three', 'undo three', 'undo one'])
      expect(await row()).toMatchObject({ state: 'refused' })
    })

    test('a process that ended while it was refused is gone on with, and no step is added', async () => {
      const db = await connected()
      const undos: string[] = []
      const body = undoable(undos, async (op) => {
        await op.step('four', (tx) => note(tx, 'four'))
      })
      await rejectionOf(
        db.$steps(
          of(),
          undoable(undos, (op) => op.refuse(1n), 'three'),
        ),
      )
      undos.length = 0

      expect(await rejectionOf(db.$steps(of(), body))).toMatchObject({ code: 'OPERATION_REFUSED', answer: 1n })
      expect(undos).toEqual(['three three', 'two charge 2', 'one one'])
      expect(await notes()).toEqual(['one', 'three', 'undo three', 'undo one'])
    })
  })

  describe('two runners at once', () => {
    test('a step that another runner is doing is waited for, and its answer is that of both', async () => {
      const [db, their, held, inside] = [await connected(), await connected(other), gate(), gate()]
      const first = db.$steps(of(), (op) =>
        op.step('one', async (tx) => {
          await note(tx, 'one')
          inside.open()
          await held.opened
          return 1
        }),
      )
      await inside.opened
      const second = their.$steps(of(), (op) => op.step('one', never))
      await untilBlocked(database.url)
      held.open()
      expect([(await first).result, (await second).result]).toEqual([1, 1])
      expect(await notes()).toEqual(['one'])
    })

    test.each(['done', 'running'])(
      'an external call may be made by both, with one key, and the answer that was stored first is that of both (%s)',
      async (state) => {
        const [db, their, held, inside] = [await connected(), await connected(other), gate(), gate()]
        const keys: string[] = []
        const late = db.$steps(of(), (op) =>
          op.external('charge', async (given) => {
            keys.push(given)
            inside.open()
            await held.opened
            return 'late'
          }),
        )
        await inside.opened
        const fast = their.$steps(of(), async (op) => {
          const answer = await op.external('charge', async (given) => {
            keys.push(given)
            return 'fast'
          })
          if (state === 'running') throw new Error('later')
          return answer
        })
        await Promise.allSettled([fast])
        expect((await row()).state).toBe(state)
        held.open()

        expect(await late).toEqual({ result: 'fast', replayed: state === 'done' })
        expect([keys.length, new Set(keys).size]).toEqual([2, 1])
      },
    )

    test('a runner whose transaction the server has ended in a step finds that another one has done it', async () => {
      const proxy = await openProxy(database.url)
      const [db, their] = [await open({ url: proxy.url }), await connected(other)]
      const body = (text: string) => (op: Operation<object>) => op.step('one', (tx) => note(tx, text))
      const commit = proxy.next(/^COMMIT/, 'hold')
      const late = db.$steps(of(), body('late'))
      await commit.happened
      const fast = their.$steps(of(), body('fast'))
      await untilBlocked(database.url)
      // As its limits do after a while.
      await database.query(`
SELECT pg_terminate_backend(pid) FROM pg_stat_activity
WHERE datname = current_database() AND state = 'idle in transaction'`)
      expect((await fast).result).toBe('fast')
      commit.release()

      expect([(await late).result, await notes()]).toEqual(['fast', ['fast']])
    })

    test('a runner that comes late makes no call for an operation that is refused, and hears of it', async () => {
      const [db, their, side, held, inside] = [
        await connected(),
        await connected(other),
        new OtherSide(),
        gate(),
        gate(),
      ]
      const late = db.$steps(of(), async (op) => {
        await op.step('one', { run: (tx) => note(tx, 'one'), undo: (tx) => note(tx, 'late undo') })
        inside.open()
        await held.opened
        await op.external('charge', side.charge)
      })
      await inside.opened
      const refused = their.$steps(of(), async (op) => {
        await op.step('one', { run: never, undo: (tx) => note(tx, 'undo') })
        op.refuse('no')
      })
      expect(await rejectionOf(refused)).toMatchObject({ code: 'OPERATION_REFUSED' })
      held.open()

      expect(await rejectionOf(late)).toMatchObject({ code: 'OPERATION_REFUSED', answer: 'no' })
      expect([side.calls, await notes()]).toEqual([[], ['one', 'undo']])
    })

    test('nobody refuses an operation whose external call another runner has begun: that one is made first', async () => {
      const [db, their, side, held, inside] = [
        await connected(),
        await connected(other),
        new OtherSide(),
        gate(),
        gate(),
      ]
      const [theirHeld, theirInside] = [gate(), gate()]
      // It has read the row before the call is begun, and refuses then.
      let runs = 0
      const refusing = their.$steps(of(), async (op) => {
        if (++runs === 1) {
          theirInside.open()
          await theirHeld.opened
          op.refuse('too soon')
        }
        await op.external('charge', side.charge)
        return op.refuse('after the charge')
      })
      await theirInside.opened
      const late = db.$steps(of(), (op) =>
        op.external('charge', async (given) => {
          inside.open()
          await held.opened
          return side.charge(given)
        }),
      )
      await inside.opened
      theirHeld.open()
      const refused = await rejectionOf(refusing)
      held.open()

      expect([refused, runs]).toMatchObject([{ code: 'OPERATION_REFUSED', answer: 'after the charge' }, 2])
      expect(await rejectionOf(late)).toMatchObject({ code: 'OPERATION_REFUSED', answer: 'after the charge' })
      expect(side.charges).toBe(1)
    })

    test('a runner that was stopped after its row was pruned does not begin again', async () => {
      const [db, their, held, inside] = [await connected(), await connected(other), gate(), gate()]
      const late = db.$steps(of(), async (op) => {
        await op.step('one', (tx) => note(tx, 'one'))
        inside.open()
        await held.opened
        await op.step('two', (tx) => note(tx, 'two'))
      })
      await inside.opened
      await their.$steps(of(), async (op) => {
        await op.step('one', never)
        await op.step('two', (tx) => note(tx, 'two'))
      })
      await database.query('DELETE FROM "Operation" WHERE key = $1', [key])
      held.open()
      expect(await rejectionOf(late)).toMatchObject({ code: 'OUTCOME_UNKNOWN' })
      expect(await notes()).toEqual(['one', 'two'])
    })

    test('of many calls at once on both engines, some of which fail, each step takes effect once', async () => {
      const clients = await Promise.all([open(), open(), open({}, other), open({}, other)])
      const side = new OtherSide()
      let calls = 0
      const unsteady = async (given: string) => {
        const number = await side.charge(given)
        if (++calls % 3 === 0) throw new Error('on purpose')
        return number
      }
      const keys = Array.from({ length: 8 }, (_, i) => `${key} ${i}`)
      const call = async (db: (typeof clients)[number], one: string) => {
        for (;;) {
          const made = db.$steps({ ...of(), key: one, retry: { deadline: 60_000 } }, pay(one, unsteady))
          const { result } = await made.catch((error) => {
            if (error.message !== 'on purpose') throw error
            return { result: undefined }
          })
          if (result !== undefined) return [one, result] as const
        }
      }
      const results = await Promise.all(keys.flatMap((one) => clients.map((db) => call(db, one))))

      for (const one of keys) {
        const [first, ...others] = results.filter(([own]) => own === one).map(([, result]) => result)
        expect(others).toEqual([first, first, first])
        expect(await notesOf(database, one)).toEqual(['reserve', `book ${first}`])
      }
      expect(side.charges).toBe(keys.length)
    })
  })

  describe('a lost connection', () => {
    /** The statements of a payment, and when they are the next of their kind. */
    const STATEMENTS = [
      ['the claim', /INSERT INTO .*"Operation"/, 'begin'],
      ['the COMMIT of a step', /^COMMIT/, 'reserve'],
      ['the note that a call begins', /::jsonb/, 'charge'],
      ['the note of its answer', /jsonb_set/, 'charge'],
      ['the note of a step', /::jsonb/, 'book'],
      ['the end', /SET "state"/, 'book'],
    ] as const
    const CASES = STATEMENTS.flatMap((one) => (['cut', 'drop'] as const).map((fate) => [fate, ...one] as const))

    test.each(CASES)('(%s) at %s: each step takes effect once', async (fate, _, sql, moment) => {
      const proxy = await openProxy(database.url)
      const [db, side] = [await open({ url: proxy.url }), new OtherSide()]
      const lost: Promise<void>[] = []
      const lose = (now: string) => {
        if (now === moment) lost.push(proxy.next(sql, fate).happened)
      }
      lose('begin')

      const first = await db.$steps(of(), pay(key, side.charge, lose))
      const { result } = await db.$steps(of(), never)

      expect(await Promise.all(lost)).toHaveLength(1)
      expect(first).toEqual({ result: 1, replayed: false })
      expect([result, await notes(), side.charges]).toEqual([1, ['reserve', 'book 1'], 1])
    })

    test.each(['cut', 'drop'] as const)('(%s) while it is refused: each step is undone once', async (fate) => {
      for (const [i, sql] of [/SET "state" = \$/, /^COMMIT/, /'undone'/, /SET "state" = 'refused'/].entries()) {
        const proxy = await openProxy(database.url)
        const own = { ...of(), key: `${key} ${i}` }
        const db = await open({ url: proxy.url })
        const body = (onEnd: () => unknown = () => {}) =>
          db.$steps(own, async (op) => {
            const step = (text: string) => (tx: object) => noteIn(tx, `${own.key} ${text}`).then(() => text)
            await op.step('one', { run: step('one'), undo: step('undo one') })
            await op.step('two', { run: step('two'), undo: step('undo two') })
            onEnd()
            return op.refuse('no')
          })

        const lost: Promise<void>[] = []
        // Once: a body that is overtaken by what was lost runs again.
        await rejectionOf(body(() => lost[0] ?? lost.push(proxy.next(sql, fate).happened)))
        expect(await Promise.all(lost)).toHaveLength(1)
        expect(await rejectionOf(body())).toMatchObject({ code: 'OPERATION_REFUSED', answer: 'no' })

        expect(await notesOf(database, own.key)).toEqual(['one', 'two', 'undo two', 'undo one'])
      }
    })
  })

  describe('what cannot be right is refused', () => {
    type Body = Parameters<Awaited<ReturnType<typeof open>>['$steps']>[1]
    const one = (tx: object) => note(tx, 'one')

    test('another request under the same key', async () => {
      const db = await connected()
      await db.$steps(of({ request: { amount: 1 } }), (op) => op.step('one', one))
      const other = db.$steps(of({ request: { amount: 2 } }), never)
      expect(await rejectionOf(other)).toMatchObject({ code: 'IDEMPOTENCY_MISMATCH', fields: ['request'] })
    })

    test.each<[string, Body, object]>([
      ['another step', (op) => op.step('two', never), { step: 'two', stored: 'one' }],
      ['an end without it', async () => 'done', { step: undefined, stored: 'one' }],
      ['a refusal without it', async (op) => op.refuse('no'), { step: undefined, stored: 'one' }],
    ])('%s in the place of the stored one', async (_, body, error) => {
      const db = await connected()
      await rejectionOf(
        db.$steps(of(), async (op) => {
          await op.step('one', one)
          throw new Error('later')
        }),
      )
      expect(await rejectionOf(db.$steps(of(), body))).toMatchObject({ code: 'STEP_MISMATCH', key, ...error })
      expect([await notes(), (await row()).state]).toEqual([['one'], 'running'])
    })

    test('an external call that has begun, as a step in the database', async () => {
      const db = await connected()
      await rejectionOf(db.$steps(of(), (op) => op.external('one', never)))
      const changed = await rejectionOf(db.$steps(of(), (op) => op.step('one', one)))
      expect(changed).toMatchObject({ code: 'STEP_MISMATCH', step: 'one', stored: 'one' })
      expect(await notes()).toEqual([])
    })

    test.each<[string, Body, string]>([
      ['a name for the second time', (op) => op.external('a', async () => 1).then(() => op.step('a', one)), 'name'],
      ['two steps at once', (op) => Promise.all([op.external('a', async () => 1), op.step('b', one)]), 'name'],
      ['a step in a step', (op) => op.external('a', () => op.step('b', one)), 'name'],
      ['an empty name', (op) => op.step('', one), 'name'],
      ['a step without a function', (op) => op.step('a', 7 as never), 'run'],
      ['an undo that is none', (op) => op.step('a', { run: one, undo: 7 } as never), 'run'],
      [
        'an answer that could not come back',
        (op) => op.step('a', (tx) => note(tx, 'a').then(() => new Map())),
        'result',
      ],
      [
        'an answer that is too long',
        (op) => op.step('a', async (tx) => `${await note(tx, 'a')}${'x'.repeat(70_000)}`),
        'a',
      ],
    ])('%s', async (_, body, field) => {
      const db = await connected()
      const error = await rejectionOf(db.$steps(of(), (op) => body(op)))
      expect(error).toMatchObject({ code: 'INVALID_ARGUMENT', field })
      expect([await notes(), (await row()).state]).toEqual([[], 'running'])
    })

    test('a step after the end of the body', async () => {
      const db = await connected()
      let leaked: Parameters<Body>[0] | undefined
      await db.$steps(of(), async (op) => {
        leaked = op
      })
      expect(await rejectionOf(leaked?.step('one', one) ?? Promise.resolve())).toMatchObject({ field: 'op' })
      expect(await notes()).toEqual([])
    })

    test('a model without the fields, and options that there are not, with every path', async () => {
      const pathsOf = async (options: object) => {
        const error = await rejectionOf(open({}, name, options))
        return (error as { issues: { path: string }[] }).issues.map(({ path }) => path)
      }
      expect(await pathsOf({ model: 'Lease', key: 'name', answer: 'progress' })).toEqual(
        expect.arrayContaining(['scope', 'request', 'state', 'answer', 'steps', 'changedAt']),
      )
      expect(await pathsOf({ models: 'Operation' })).toEqual(['models'])
    })

    test('a database without the unique key, before the first write', async () => {
      const db = await open()
      await database.query('ALTER TABLE "Operation" DROP CONSTRAINT "Operation_pkey"')
      expect(await rejectionOf(db.$steps(of(), never))).toMatchObject({ code: 'CONFIGURATION' })
      await database.query('ALTER TABLE "Operation" ADD PRIMARY KEY (scope, key)')
      expect((await db.$steps(of(), async () => 1)).result).toBe(1)
    })

    test('arguments, by their name, before any SQL; and a call on a tx', async () => {
      const db = await connected()
      const fieldOf = async (call: Promise<unknown>) => ((await rejectionOf(call)) as { field: string }).field
      expect(await fieldOf(db.$steps({ key: '', scope: 'a' }, never))).toBe('key')
      expect(await fieldOf(db.$steps({ key: 'a' } as never, never))).toBe('scope')
      expect(await fieldOf(db.$steps(of({ readOnly: true }), never))).toBe('readOnly')
      expect(await fieldOf(db.$steps(of({ request: never }), never))).toBe('request')
      expect(await fieldOf(db.$steps(of(), 7 as never))).toBe('body')
      expect(await fieldOf(db.$pruneSteps({ olderThan: -1 }))).toBe('olderThan')
      expect(await fieldOf(db.$transaction((tx) => tx.$steps(of(), never)))).toBe('client')
      expect(await row()).toBeUndefined()
    })
  })

  test('$pruneSteps deletes what is over for so long, and leaves what runs or is being undone', async () => {
    const db = await connected()
    const make = (one: string, body: Parameters<typeof db.$steps>[1]) =>
      db.$steps({ key: one, scope: key }, body).catch(() => {})
    await make('done', async () => 1)
    await make('new', async () => 1)
    await make('refused', async (op) => op.refuse('no'))
    await make('running', never)
    await make('refusing', async (op) => {
      await op.step('one', { run: async () => 1, undo: never })
      op.refuse('no')
    })
    await database.query(
      `UPDATE "Operation" SET "changedAt" = now() - interval '2 days' WHERE scope = $1 AND key <> 'new'`,
      [key],
    )

    await db.$pruneSteps({ olderThan: 86_400_000, batchSize: 1 })

    const left = await database.query('SELECT key FROM "Operation" WHERE scope = $1 ORDER BY key', [key])
    expect(left.map((each) => each.key)).toEqual(['new', 'refusing', 'running'])
  })
})
