import { relative } from 'node:path'
import { type InitFeature, isWork } from './features.js'
import type { ChangedFile, Plan } from './plan.js'
import { OTHER_NAME } from './plan.js'

/** The additions to a file, each behind the line that it follows. */
export function additionsOf({ path, before, insertions, after }: ChangedFile): string {
  if (before === undefined) return `${relative('.', path)}, a new file:\n${after}`.trimEnd()
  const parts = [...insertions]
    .sort((a, b) => a.at - b.at)
    .map(({ at, text }) => {
      const line = before.slice(0, at).trimEnd().split(/\r?\n/).length
      const added =
        text.trim() === ''
          ? []
          : text
              .replace(/^\s*\n/, '')
              .trimEnd()
              .split(/\r?\n/)
      return [`  behind line ${line}:`, ...added.map((one) => `  + ${one}`.trimEnd())].join('\n')
    })
  return [relative('.', path), ...parts].join('\n')
}

/** The lines of the application's client. */
export function clientLines({ versions }: Pick<Plan, 'versions'>, features: readonly InitFeature[]): string {
  const named = [...versions].filter(([, field]) => field === OTHER_NAME)
  const models = named.map(([model, field]) => `${model}: { field: '${field}' }`).join(', ')
  const options = named.length === 0 ? '' : `{ version: { models: { ${models} } } }`
  const extensions = features.flatMap(({ extension }) => extension ?? [])
  const imported = (entry: 'erp' | 'work') => {
    const names = features.filter(({ name, extension }) => extension && isWork(name) === (entry === 'work'))
    const list = names.map(({ name }) => name).sort()
    return list.length === 0 ? [] : [`import { ${list.join(', ')} } from 'prisma-extension-concurrency/${entry}'`]
  }
  return [
    "import { concurrency } from 'prisma-extension-concurrency'",
    ...imported('erp'),
    ...imported('work'),
    '',
    'export const db = new PrismaClient({ adapter })',
    ...[`concurrency(${options})`, ...extensions].map((extension) => `  .$extends(${extension})`),
  ].join('\n')
}
