import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, onTestFinished, test } from 'vitest'
import { runCommand } from '../../src/cli/run.js'
import { Contention } from '../../src/events/contention.js'
import {
  adviceFor,
  type ContentionSnapshot,
  contentionReport,
  type HotSpot,
  type OperationContention,
} from '../../src/report.js'
import { startChromium, whyNoChromium } from '../support/chromium.js'
import { examplesOf, withoutNumbers } from '../support/command.js'
import { anchorsOf } from '../support/pages.js'

/** The counts of calls that have met nothing. */
const NOTHING = (() => {
  const contention = new Contention()
  for (let call = 0; call < 100; call++) contention.ended({ operation: '', model: undefined }, false)
  const [operation] = contention.read({}, (key) => key).operations
  if (operation === undefined) throw new Error('Nothing was counted.')
  return operation
})()
const spot = (given: Partial<HotSpot>): HotSpot => ({
  operation: 'updateVersioned',
  model: 'Product',
  key: '1',
  count: 10,
  overcount: 0,
  conflicts: 0,
  deadlocks: 0,
  waits: 0,
  waitedMs: 0,
  ...given,
})
const snapshotOf = (hot: readonly HotSpot[], operations: readonly OperationContention[] = []): ContentionSnapshot => ({
  since: '2026-11-29T12:00:00.000Z',
  until: '2026-11-29T12:01:00.000Z',
  operations,
  hot,
})
const wait = { count: 40, total: 900, p50: 4, p90: 60, p99: 180, max: 200 }
const UNESCAPED = '<b>&"'
/** That of the page on the commands. */
const PRODUCT = spot({ conflicts: 30, count: 30 })
const VERSIONED = {
  ...NOTHING,
  operation: 'updateVersioned',
  model: 'Product',
  conflicts: 30,
  conflictRate: 0.3,
  retries: 2,
}
const LOCK = { operation: '$withAdvisoryLock', model: undefined }
const EXAMPLE = snapshotOf(
  [spot({ ...LOCK, key: 'report', waits: 40, waitedMs: 900, count: 40 }), PRODUCT],
  [{ ...NOTHING, ...LOCK, waits: { advisory: wait } }, VERSIONED],
)
const FULL = snapshotOf(
  [
    spot({ ...LOCK, key: `["${UNESCAPED}"]`, waits: 40, waitedMs: 900, count: 40 }),
    PRODUCT,
    spot({ operation: '$series.next', model: undefined, key: 'invoice', waits: 9, waitedMs: 90, count: 9 }),
  ],
  [
    { ...NOTHING, ...LOCK, waits: { queue: wait, advisory: wait } },
    VERSIONED,
    { ...NOTHING, operation: '$series.next', model: undefined, waits: { row: wait } },
    {
      ...NOTHING,
      operation: '$stock.move',
      model: undefined,
      batches: { count: 4, total: 40, p50: 10, p90: 10, p99: 10, max: 10 },
    },
  ],
)

describe('do I need a lock here?', () => {
  const answer = (given: Partial<HotSpot>, own: Partial<OperationContention> = {}) => {
    const hot = spot(given)
    const { operation, model } = hot
    const [advice] = adviceFor(snapshotOf([hot], [{ ...NOTHING, operation, model, ...own }]))
    return [advice?.answer, advice?.page]
  }

  test('no, where callers of a lock hardly wait: a version costs less', () => {
    expect(answer({ ...LOCK, waits: 10, waitedMs: 20 })).toEqual(['no lock', 'versioned-updates.md#read-change-write'])
    expect(answer({ ...LOCK, waits: 10, waitedMs: 2_000 })).toEqual(['keep the lock', 'advisory-locks.md'])
  })

  test('no, where conflicts are rare, or where a function would be run again', () => {
    const rare = answer({ conflicts: 2 }, { conflicts: 2, conflictRate: 0.02 })
    expect(rare).toEqual(['no lock', 'versioned-updates.md#calls-of-one-process'])
    const [held] = adviceFor(snapshotOf([PRODUCT], [VERSIONED]))
    expect(held).toMatchObject({ answer: 'no lock', instead: expect.stringContaining('function') })
  })

  test('another way, where processes write one row at once, or deadlock, or take gapless numbers', () => {
    const storm = { conflicts: 50, retries: 50, conflictRate: 0.5 }
    expect(answer({ conflicts: 50 }, storm)).toEqual(['another way', 'stock.md#use-it'])
    expect(answer({ deadlocks: 1 })).toEqual(['another way', 'transactions.md#deadlocks'])
    expect(answer({ operation: '$series.next', waits: 1 })).toEqual([
      'another way',
      'number-series.md#a-number-and-its-document-at-once',
    ])
  })

  test('of a method whose data is no function it does not say that a function would cost less', () => {
    for (const operation of ['updateManyVersioned', 'deleteVersioned']) {
      const own = { ...VERSIONED, operation, retries: 0 }
      const [advice] = adviceFor(snapshotOf([{ ...PRODUCT, operation }], [own]))
      expect(advice).toMatchObject({ answer: 'no lock', instead: expect.not.stringContaining('function') })
      expect(advice?.page).toBe(operation === 'deleteVersioned' ? 'deletes.md' : 'many-rows.md')
    }
  })

  test('every page and section that it names is in the guide', async () => {
    const source = await readFile(new URL('../../src/report/advice.ts', import.meta.url), 'utf8')
    const named = [...source.matchAll(/page: '([^']+)'/g)].map(([, target = '']) => target)
    expect(named.length).toBeGreaterThan(8)
    for (const target of named) {
      const [path = '', section] = target.split('#')
      const text = await readFile(new URL(`../../docs/guide/${path}`, import.meta.url), 'utf8')
      if (section !== undefined) expect(anchorsOf({ path, text }), target).toContain(section)
    }
  })
})

test('as text it has what each hot spot costs, the answer, the reason and the page', async () => {
  const text = await contentionReport(FULL, 'text')
  expect(text).toContain('updateVersioned Product: 100 calls, 30 % conflicts, 2 retries')
  expect(text).toContain('now: 900 ms waited by 40 calls, 22.5 ms each, in 60 s')
  expect(text).toContain('do I need a lock here? keep the lock')
  expect(text).toContain('(advisory-locks.md)')
})

test('as JSON it has the snapshot and the advice', async () => {
  expect(JSON.parse(await contentionReport(FULL, 'json'))).toEqual({ ...FULL, advice: adviceFor(FULL) })
})

test('as HTML it takes nothing of a snapshot, which may come from a file or a URL, for HTML', async () => {
  const text = UNESCAPED as unknown as number
  const strange = {
    ...snapshotOf(
      [spot({ key: UNESCAPED, conflicts: text, waits: text, waitedMs: text })],
      [{ ...VERSIONED, model: UNESCAPED, calls: text, retries: text, batches: { ...wait, total: text } }],
    ),
    since: UNESCAPED,
    until: UNESCAPED,
  }
  expect(await contentionReport(strange, 'html')).not.toContain(UNESCAPED)
})

test('of nothing it says that no lock is needed', async () => {
  const empty = snapshotOf([])
  expect(await contentionReport(empty, 'text')).toContain('No call has met another one.')
  expect(await contentionReport(empty, 'html')).toContain('no lock is needed')
})

let folder: string
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'contention-report-'))
})
afterAll(() => rm(folder, { recursive: true, force: true }))

const SEEN = `(() => ({
  scrollWidth: document.documentElement.scrollWidth,
  width: document.documentElement.clientWidth,
  charts: [...document.querySelectorAll('svg[role="img"][aria-label]')].filter((svg) => svg.getBoundingClientRect().height > 50).length,
  bars: document.querySelectorAll('svg rect').length,
  active: document.querySelectorAll('script, img, iframe, link[rel="stylesheet"]').length,
  text: document.body.innerText,
}))()`

test(`as HTML it is one page that a browser shows whole, and that loads nothing${whyNoChromium ? ` (skipped: ${whyNoChromium})` : ''}`, async (context) => {
  context.skip(whyNoChromium !== undefined)
  const file = join(folder, 'page.html')
  await writeFile(file, await contentionReport(FULL, 'html'))
  const browser = await startChromium()
  onTestFinished(() => browser.stop())
  for (const [width, isDark] of [
    [1280, false],
    [1280, true],
    [390, false],
  ] as const) {
    const page = await browser.open(file, width, isDark)
    const seen = await page.evaluate<{
      scrollWidth: number
      width: number
      charts: number
      bars: number
      active: number
      text: string
    }>(SEEN)
    expect(page.errors).toEqual([])
    expect(page.requests.filter((url) => !url.startsWith('data:') && !url.startsWith('file:'))).toEqual([])
    expect(seen).toMatchObject({ charts: 2, active: 0 })
    expect(seen.bars).toBeGreaterThanOrEqual(3)
    expect(seen.scrollWidth).toBeLessThanOrEqual(seen.width)
    expect(seen.text).toContain(UNESCAPED)
    expect(seen.text).toContain('keep the lock')
    await page.close()
  }
}, 60_000)

describe('the command report', () => {
  const called = async (...args: string[]) => {
    const printed: string[] = []
    const code = await runCommand(['report', ...args], {
      print: (text) => printed.push(text),
      note: (text) => printed.push(text),
    })
    return { code, text: printed.join('\n') }
  }
  const file = async (content: unknown) => {
    const path = join(folder, 'snapshot.json')
    await writeFile(path, JSON.stringify(content))
    return path
  }

  test('prints the report of a file', async () => {
    expect(await called(await file(FULL))).toEqual({ code: 0, text: await contentionReport(FULL, 'text') })
    expect(JSON.parse((await called(await file(FULL), '--json')).text)).toHaveProperty('advice')
  })

  test('prints what its page shows', async () => {
    expect([withoutNumbers((await called(await file(EXAMPLE))).text)]).toEqual(
      (await examplesOf('report')).map((text) => text.trimEnd()),
    )
  })

  test('writes the page of what a URL gives', async () => {
    const server = createServer((_, response) => response.end(JSON.stringify(FULL)))
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
    onTestFinished(() => void server.close())
    const out = join(folder, 'out.html')
    const { port } = server.address() as AddressInfo
    expect(await called(`http://127.0.0.1:${port}/`, '--html', '--out', out)).toEqual({ code: 0, text: '' })
    expect(await readFile(out, 'utf8')).toContain('<!doctype html>')
  })

  test('says what is wrong, without the password of a URL, and ends with 2', async () => {
    expect(await called(await file({ hot: 1 }))).toMatchObject({
      code: 2,
      text: expect.stringContaining('is not what db.$contention() gives'),
    })
    const { code, text } = await called('http://somebody:hidden@127.0.0.1:1/')
    expect([code, text.includes('hidden')]).toEqual([2, false])
    expect((await called(await file(FULL), '--json', '--html')).code).toBe(2)
  })
})
