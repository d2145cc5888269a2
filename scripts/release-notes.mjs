// Prints the section of CHANGELOG.md about the version that is released, as the notes of the release on GitHub. The
// changelog is written by hand, for the person who upgrades, in the commit that users notice: notes made of commits or of
// labels would be a second account of the same, for nobody in particular. So this only reads, and `gh release` publishes.
//
// Fails unless the tag, package.json and the changelog tell of the same version, with a date.
import { readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'

const read = (name) => readFileSync(fileURLToPath(new URL(`../${name}`, import.meta.url)), 'utf8')

const [tag = ''] = process.argv.slice(2)
const { version } = JSON.parse(read('package.json'))
if (tag !== `v${version}`) fail(`The tag is ${tag || 'not given'}, and package.json says ${version}.`)

const [, ...sections] = read('CHANGELOG.md').split(/^## /m)
const section = sections.find((text) => text.startsWith(`${version} (`))
if (section === undefined) fail(`CHANGELOG.md has no section about ${version}.`)
const [heading, ...lines] = section.split('\n')
if (!/\(\d{4}-\d\d-\d\d\)$/.test(heading)) fail(`CHANGELOG.md has no date for ${version}: "${heading}".`)
process.stdout.write(`${lines.join('\n').trim()}\n`)

function fail(message) {
  console.error(message)
  process.exit(1)
}
