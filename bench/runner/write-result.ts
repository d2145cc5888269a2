/** Writes the result as JSON, its figures rounded to what they are good for, so that two files can be compared by eye. */
import { mkdir, writeFile } from 'node:fs/promises'
import { join, relative } from 'node:path'
import { fileURLToPath } from 'node:url'
import type { BenchResult } from '../result.js'

const RESULTS = fileURLToPath(new URL('../results/', import.meta.url))

/**
 * A run of what was chosen by hand is a try: it is kept only where it was said to.
 *
 * @returns where, as seen from here
 */
export async function writeResult(result: BenchResult, output: string | undefined): Promise<string | undefined> {
  if (output === undefined && result.form === 'custom') return undefined
  const file = output ?? join(RESULTS, `${result.form}-${result.date.slice(0, 19).replaceAll(/\D/g, '')}.json`)
  if (output === undefined) await mkdir(RESULTS, { recursive: true })
  await writeFile(file, textOf(result))
  return relative(process.cwd(), file)
}

/** A line per cell: there are hundreds. */
function textOf({ cells, ...rest }: BenchResult): string {
  const lines = cells.map((cell) => `    ${JSON.stringify(cell, rounded)}`)
  return `${JSON.stringify(rest, rounded, 2).slice(0, -2)},\n  "cells": [\n${lines.join(',\n')}\n  ]\n}\n`
}

function rounded(_: string, value: unknown): unknown {
  return typeof value === 'number' && !Number.isInteger(value) ? Number(value.toPrecision(5)) : value
}
