import { existsSync } from 'node:fs'
import { readdir, readFile } from 'node:fs/promises'
import { fileURLToPath } from 'node:url'

const ROOT = fileURLToPath(new URL('../..', import.meta.url))

/** A page for users: its path from the root, and its text. */
export interface Page {
  readonly path: string
  readonly text: string
}

/** The pages of the root and all pages in docs, in the order of their paths. */
export async function readPages(): Promise<Page[]> {
  const names = await readdir(`${ROOT}/docs`, { recursive: true })
  const root = ['CHANGELOG.md', 'CONTRIBUTING.md', 'README.md']
  const paths = [...root, ...names.filter((name) => name.endsWith('.md')).map((name) => `docs/${name}`)].sort()
  return Promise.all(paths.map(async (path) => ({ path, text: await readFile(`${ROOT}/${path}`, 'utf8') })))
}

/** The pages of the examples and of the bench, whose code is in files of their own. */
export async function readNotes(): Promise<Page[]> {
  const names = await Promise.all(
    ['examples', 'bench'].map(async (folder) =>
      (await readdir(`${ROOT}/${folder}`)).flatMap((name) => [`${folder}/${name}`, `${folder}/${name}/README.md`]),
    ),
  )
  const paths = names.flat().filter((path) => path.endsWith('.md') && existsSync(`${ROOT}/${path}`))
  return Promise.all(paths.map(async (path) => ({ path, text: await readFile(`${ROOT}/${path}`, 'utf8') })))
}

/** The code blocks of a page that are of this language. */
export function blocksOf({ text }: Page, language: string): string[] {
  return Array.from(text.matchAll(new RegExp(`^\`\`\`${language}\n(.*?)^\`\`\``, 'gms')), ([, code = '']) => code)
}

/** The anchors of a page's headings, as GitHub makes them. */
export function anchorsOf({ text }: Page): string[] {
  const prose = text.replaceAll(/^```.*?^```/gms, '')
  return Array.from(prose.matchAll(/^#+ (.+)$/gm), ([, heading = '']) =>
    heading
      .toLowerCase()
      .replaceAll(/[^\p{L}\p{N} _-]/gu, '')
      .replaceAll(' ', '-'),
  )
}

/** The targets of a page's links. */
export function linksOf({ text }: Page): string[] {
  const prose = text.replaceAll(/^```.*?^```/gms, '').replaceAll(/`[^`\n]*`/g, '`')
  return Array.from(prose.matchAll(/\]\(([^)\s]+)\)/g), ([, target = '']) => target)
}
