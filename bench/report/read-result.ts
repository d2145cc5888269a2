/** Reads a result of the bench, if it is of the format that is known here. */
import { readFile } from 'node:fs/promises'
import { type BenchResult, RESULT_FORMAT } from '../result.js'

/** @throws Error that says what the file is instead */
export async function readResult(file: string): Promise<BenchResult> {
  const result = JSON.parse(await readFile(file, 'utf8')) as Partial<BenchResult>
  if (result.format !== RESULT_FORMAT) {
    throw new Error(`${file} is not a result of this bench: its format is ${result.format}, not ${RESULT_FORMAT}.`)
  }
  return result as BenchResult
}
