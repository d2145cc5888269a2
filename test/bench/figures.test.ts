import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { describe, expect, test } from 'vitest'
import { readResult } from '../../bench/report/read-result.js'
import { headlines } from '../../bench/report/reading.js'
import { benchSection, sectionOf, shortSectionOf, withBenchSection } from '../../bench/report/readme.js'
import type { BenchResult } from '../../bench/result.js'
import { madeUpResult } from '../support/bench-result.js'

const ROOT = fileURLToPath(new URL('../..', import.meta.url))
const EMPTY = '# Title\n\n<!-- bench -->\n<!-- /bench -->\n\nThe rest.\n'

/**
 * The figures in the section's table that the result does not contain, as `work: figure`. It looks
 * for each among all numbers of the row's workload, as they are and with three digits.
 */
function figuresNotIn(section: string, { cells, workloads }: BenchResult): string[] {
  const rows = section.split('\n').filter((line) => line.startsWith('|') && !/^\|(?: calls |-)/.test(line))
  expect(rows.length).toBeGreaterThan(0)
  return rows.flatMap((row) => {
    const [title = '', ...columns] = row.split(' | ').map((column) => column.replace(/^\||\|$/g, '').trim())
    const workload = workloads.find((candidate) => candidate.title === title)
    const own = cells.filter((cell) => cell.workload === workload?.id)
    const known = new Set(own.flatMap(numbersIn).flatMap((number) => [number, Number(number.toPrecision(3))]))
    const texts = columns.join(' ').replaceAll(/`[^`]*`/g, '') // names, in which there are digits
    const figures = texts.match(/\d[\d,]*(?:\.\d+)?/g) ?? []
    return figures
      .filter((figure) => !known.has(Number(figure.replaceAll(',', ''))))
      .map((figure) => `${title}: ${figure}`)
  })
}

function numbersIn(value: unknown): number[] {
  if (typeof value === 'number') return [value]
  return typeof value === 'object' && value !== null ? Object.values(value).flatMap(numbersIn) : []
}

const result = () => madeUpResult({ form: 'full', missing: () => undefined })

describe('the figures of the bench in docs/benchmarks.md and in the README', async () => {
  const [long, short] = (await Promise.all(
    ['docs/benchmarks.md', 'README.md'].map(async (page) => benchSection(await readFile(join(ROOT, page), 'utf8'))),
  )) as [string, string]
  const [, file = ''] = /\[(bench\/results\/[^\]]+\.json)\]/.exec(long) ?? []
  const committed = () => readResult(join(ROOT, file))

  test('are all in the committed result', async () => {
    expect(figuresNotIn(long, await committed())).toEqual([])
    expect(figuresNotIn(short, await committed())).toEqual([])
  })

  test('are what the script makes of it, with date, machine and how to run it', async () => {
    expect(long).toBe(sectionOf(await committed(), file))
    expect(short).toBe(shortSectionOf(await committed()))
  })

  test('are of the full form, run to its end', async () => {
    expect(await committed()).toMatchObject({ form: 'full', isComplete: true })
  })
})

test('the table that is written into a page holds only figures of the result', async () => {
  const full = await result()
  const section = benchSection(withBenchSection(EMPTY, sectionOf(full, 'bench/results/full.json'))) as string

  expect(figuresNotIn(section, full)).toEqual([])
  expect(section).toContain('2026-11-24')
  expect(section).toContain('A processor with a long name')
  expect(section).toMatch(/\[bench\/results\/full\.json\]\(https:\/\/.*\/blob\/main\/bench\/results\/full\.json\)/)
})

test('a figure that the result does not contain is found', async () => {
  const full = await result()
  const section = sectionOf(full, 'bench/results/full.json')
  const [ratio = ''] = section.match(/[\d.]+(?=×)/) ?? []

  const found = figuresNotIn(section.replace(`${ratio}×`, '77.7×'), full)

  expect(found).toEqual([`${headlines(full)[0]?.title}: 77.7`])
})

test('writing the table leaves the rest of the page as it is, and can be done again', async () => {
  const full = await result()

  const once = withBenchSection(EMPTY, sectionOf(full, 'bench/results/full.json'))
  const twice = withBenchSection(once, sectionOf(full, 'bench/results/full.json'))

  expect(once.replace(benchSection(once) as string, '').replace('\n\n<!-- /', '\n<!-- /')).toBe(EMPTY)
  expect(twice).toBe(once)
})

test('a page without the markers is refused', () => {
  expect(() => withBenchSection('# Title', 'a table')).toThrow('The page has no <!-- bench -->')
})
