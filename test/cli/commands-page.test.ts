import { readFile } from 'node:fs/promises'
import { expect, test } from 'vitest'
import { runCommand } from '../support/command.js'

const page = await readFile('docs/guide/commands.md', 'utf8')
const NAMES = Array.from(page.matchAll(/^## (\w+)$/gm), ([, name = '']) => name)

test('the page on the commands has a section of each command', async () => {
  const { stdout } = await runCommand(['--help'])
  const [, list = ''] = stdout.split('Commands:\n')
  const commands = Array.from(list.matchAll(/^ {2}(\w+) /gm), ([, name = '']) => name).filter((name) => name !== 'help')

  expect(commands.sort()).toEqual([...NAMES].sort())
})

test.each(NAMES)('the page on the commands has the options of %s as the command prints them', async (name) => {
  const { stdout } = await runCommand([name, '--help'])

  expect(page).toContain(`\`\`\`text\n${stdout.trimEnd()}\n\`\`\`\n`)
})
