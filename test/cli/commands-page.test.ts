import { readFile } from 'node:fs/promises'
import { expect, test } from 'vitest'
import { runCommand } from '../support/command.js'

const page = await readFile('docs/guide/commands.md', 'utf8')
const NAMES = Array.from(page.matchAll(/^## (\w+)$/gm), ([, name = '']) => name)

test.each(NAMES)('the page on the commands has the options of %s as the command prints them', async (name) => {
  const { stdout } = await runCommand([name, '--help'])

  expect(page).toContain(`\`\`\`text\n${stdout.trimEnd()}\n\`\`\`\n`)
})
