/** Reads a result of the bench, if it is of a format that is known here. */
import { readFile } from 'node:fs/promises'
import { type BenchResult, RESULT_FORMAT } from '../result.js'

/** The pause test of a result of format 1. */
interface Format1 {
  readonly pain: BenchResult['pauseTest']
}

/** @throws Error that says what the file is instead */
export async function readResult(file: string): Promise<BenchResult> {
  const result: Partial<BenchResult & Format1> = JSON.parse(await readFile(file, 'utf8'))
  const format: number | undefined = result.format
  if (format === 1) {
    const { pain = [], ...others } = result
    return { ...others, format: RESULT_FORMAT, pauseTest: pain } as unknown as BenchResult
  }
  if (format !== RESULT_FORMAT) {
    throw new Error(`${file} is not a result of this bench: its format is ${format}, not ${RESULT_FORMAT}.`)
  }
  return result as BenchResult
}
