import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { fileURLToPath, pathToFileURL } from 'node:url'
import { afterAll, beforeAll, describe, expect, inject, test } from 'vitest'
import { readResult } from '../../bench/report/read-result.js'
import type { BenchResult } from '../../bench/result.js'
import { isInstalled } from '../../bench/runner/contenders.js'
import { madeUpResult, UNESCAPED } from '../support/bench-result.js'
import { type Browser, type Page, startChromium, whyNoChromium } from '../support/chromium.js'
import { run } from '../support/run.js'

const ROOT = fileURLToPath(new URL('../..', import.meta.url))
const COMMITTED = join(ROOT, 'bench/report.html')
const MISSING = 'its server is away'
const SIZES: readonly (readonly [width: number, isDark: boolean])[] = [
  [1280, false],
  [1280, true],
  [390, false],
]

const whyNoPackages =
  isInstalled('@observablehq/plot') && isInstalled('linkedom') ? undefined : 'bench/setup.sh was not run'

function skipped(name: string, ...reasons: readonly (string | undefined)[]): [name: string, isSkipped: boolean] {
  const why = reasons.filter((reason) => reason !== undefined).join(', ')
  return why === '' ? [name, false] : [`${name} (skipped: ${why})`, true]
}

let folder: string
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'bench-report-test-'))
})
afterAll(() => rm(folder, { recursive: true, force: true }))

/** The report of a result, made by the command that the README of the bench names. */
async function report(name: string, result: BenchResult): Promise<string> {
  const [json, html] = [join(folder, `${name}.json`), join(folder, `${name}.html`)]
  await writeFile(json, JSON.stringify(result))
  await run(process.execPath, ['--import', 'tsx', 'bench/report/make.ts', json, html], ROOT)
  return html
}

/** The file and the result that it was made of, which it names. */
async function resultOf(html: string): Promise<BenchResult> {
  const [, json = ''] = /<a href="([^":]+\.json)">/.exec(await readFile(html, 'utf8')) ?? []
  return await readResult(join(dirname(html), json))
}

/** The faults that a person would see on the screen, with everything unfolded. */
const ON_SCREEN = `(() => {
  for (const details of document.querySelectorAll('details')) details.open = true
  const width = document.documentElement.clientWidth
  const name = (element) => element.tagName + '.' + (element.className.baseVal ?? element.className) + ' ' + element.textContent.slice(0, 40)
  const isSeen = ({ width, height }) => width > 0 && height > 0
  const sticksOut = (inner, outer, by) => inner.left < outer.left - by || inner.right > outer.right + by
  const screen = { left: 0, right: width }
  return {
    width,
    scrollWidth: document.documentElement.scrollWidth,
    beyondTheScreen: [...document.querySelectorAll('body *')]
      .filter((element) => element.closest('.scroll > *, pre > *, svg > *') === null)
      .filter((element) => isSeen(element.getBoundingClientRect()) && sticksOut(element.getBoundingClientRect(), screen, 0.5))
      .map(name),
    beyondTheirPlot: [...document.querySelectorAll('svg text')]
      .filter((text) => isSeen(text.getBoundingClientRect()))
      .filter((text) => sticksOut(text.getBoundingClientRect(), text.closest('svg').getBoundingClientRect(), 4))
      .map(name),
    tables: Object.fromEntries(
      [...document.querySelectorAll('table[data-workload]')].map((table) => [table.dataset.workload, table.tBodies[0].rows.length]),
    ),
    plots: [...new Set([...document.querySelectorAll('figure[data-plot] svg')]
      .filter((svg) => isSeen(svg.getBoundingClientRect()))
      .map((svg) => svg.closest('figure').dataset.plot))],
    unnamed: [...document.querySelectorAll('svg:not([role="img"][aria-label])')].length,
    active: [...document.querySelectorAll('script, img, iframe, link[rel="stylesheet"], [onerror]')].map(name),
    text: document.body.innerText,
  }
})()`

interface OnScreen {
  readonly width: number
  readonly scrollWidth: number
  readonly beyondTheScreen: readonly string[]
  readonly beyondTheirPlot: readonly string[]
  readonly tables: Readonly<Record<string, number>>
  readonly plots: readonly string[]
  readonly unnamed: number
  readonly active: readonly string[]
  readonly text: string
}

/** Checks that hold for every report, of any result. */
async function expectGood(page: Page, width: number, html: string): Promise<OnScreen> {
  const screen = await page.evaluate<OnScreen>(ON_SCREEN)
  const { workloads, cells } = await resultOf(html)
  const takers = (id: string) => cells.filter(({ workload }) => workload === id).length
  expect(page.errors).toEqual([])
  expect(page.requests.filter((url) => !url.startsWith('data:'))).toEqual([pathToFileURL(html).href])
  expect(screen).toMatchObject({ width, scrollWidth: width, beyondTheScreen: [], beyondTheirPlot: [] })
  expect(screen.tables).toEqual(Object.fromEntries(workloads.map(({ id }) => [id, takers(id)])))
  expect(screen.plots).toEqual(['overview', ...workloads.map(({ id }) => id)])
  expect(screen).toMatchObject({ unnamed: 0, active: [] })
  return screen
}

describe.skipIf(whyNoChromium)(...([skipped('the report in a browser', whyNoChromium)[0]] as const), () => {
  let browser: Browser
  beforeAll(async () => {
    browser = await startChromium()
  })
  afterAll(() => browser?.stop())

  async function onEveryScreen(html: string): Promise<OnScreen> {
    let screen: OnScreen | undefined
    for (const [width, isDark] of SIZES) {
      const page = await browser.open(html, width, isDark)
      screen = await expectGood(page, width, html)
      await page.close()
    }
    return screen as OnScreen
  }

  test('the report in the repository is whole, and fits every screen', async () => {
    await onEveryScreen(COMMITTED)
  })

  const [full, cannotMake] = skipped('a report of all contenders is whole, and fits every screen', whyNoPackages)
  test.skipIf(cannotMake)(full, async () => {
    const result = await madeUpResult({
      form: 'full',
      missing: ({ server }) => (server === 'zookeeper' ? MISSING : undefined),
    })

    const { text } = await onEveryScreen(await report('full', result))

    const said = [`missing: ${MISSING}`, 'broke down: It did not answer any more.', '✕ 3,702 lost', `9 ×: ${UNESCAPED}`]
    expect(said.filter((line) => !text.includes(line))).toEqual([])
    expect(text.match(/corrupted data/g)).toHaveLength(result.pauseTest.filter(({ corrupted }) => corrupted > 0).length)
  })

  const [short] = skipped('a report of the short form is whole, and fits every screen', whyNoPackages)
  test.skipIf(cannotMake)(short, async () => {
    const result = await madeUpResult({
      form: 'short',
      missing: ({ server, packages = [] }) => (server !== undefined || packages.length > 0 ? MISSING : undefined),
    })

    const { text } = await onEveryScreen(await report('short', result))

    const missing = result.contenders.filter((contender) => contender.missing !== undefined)
    expect(missing.map(({ title }) => title).filter((title) => !text.includes(title))).toEqual([])
    expect(text.split(`missing: ${MISSING}`)).toHaveLength(missing.length + 1)
    expect(text.includes('Not measured in this form')).toBe(true)
  })
})

const [written, cannotWrite] = skipped('the bench makes the report of what it has measured, beside it', whyNoPackages)
test.skipIf(cannotWrite)(written, async () => {
  const json = join(folder, 'measured.json')
  const chosen = ['--contender', 'pg/guarded-update', '--workload', 'hot-row-16', '--rounds', '1', '--budget', '3']

  await run(process.execPath, ['--import', 'tsx', 'bench/main.ts', ...chosen, '--output', json], ROOT, {
    DATABASE_URL: inject('serverUrl'),
  })

  expect(await readFile(join(folder, 'measured.html'), 'utf8')).toContain('data-workload="hot-row-16"')
})

const [refused, cannotRefuse] = skipped('a file that is no result of the bench is refused', whyNoPackages)
test.skipIf(cannotRefuse)(refused, async () => {
  await expect(report('wrong', { format: 99 } as unknown as BenchResult)).rejects.toThrow('its format is 99, not 2')
})
