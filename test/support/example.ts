import { readFile } from 'node:fs/promises'
import { startScript } from './script.js'

/** Runs main.ts of an example, and reads in its README what it is said to print. */
export async function runExample(name: string, url: string) {
  const readme = await readFile(new URL(`../../examples/${name}/README.md`, import.meta.url), 'utf8')
  const stdout = /prints\n\n```\n(.*?)```/s.exec(readme)?.[1]
  const actual = await startScript(`examples/${name}/main.ts`, { DATABASE_URL: url }).ended
  return { actual, promised: { exitCode: 0, stdout, stderr: '' } }
}
