import { delegateName, MODELS } from './schema.js'

const indexes = Array.from({ length: MODELS }, (_, index) => index)

/** Calls that both programs make, on every model. */
function ordinaryCalls(client: string, index: number): string {
  const delegate = `${client}.${delegateName(index)}`
  return `
  const created = await ${delegate}.create({ data: { code: 'x', name: 'y', kind: 'SPECIAL' }, select: { id: true } })
  const found = await ${delegate}.findUniqueOrThrow({ where: { id: created.id }, include: { next: true } })
  const many = await ${delegate}.findMany({ where: { amount: { gt: found.amount } }, orderBy: { createdAt: 'asc' } })
  const removed = await ${delegate}.deleteMany({ where: { id: { in: many.map(({ id }) => id) } } })`
}

/** The code of a program without versions, on a client made by `setup`. */
function ordinaryProgram(setup: string): string {
  const functions = indexes.map(
    (index) => `export async function f${index}() {${ordinaryCalls('db', index)}
  const first = await db.${delegateName(index)}.update({
    where: { id: created.id, version: found.version },
    data: { amount: found.amount - 1, kind: 'PLAIN' },
    select: { amount: true, version: true },
  })
  const second = await db.${delegateName(index)}.update({
    where: { id: created.id, version: first.version },
    data: { name: 'z' },
  })
  return [removed.count, first.amount, second.name] as const
}`,
  )
  return `import { PrismaClient } from './client/client.js'

${setup}

${functions.join('\n\n')}
`
}

/** A client as Prisma generates it. */
export const plainProgram = () => ordinaryProgram('declare const db: PrismaClient')

/** A client with an extension that does nothing: the cost of any extension in Prisma itself. */
export const emptyProgram = () => ordinaryProgram('declare const base: PrismaClient\nconst db = base.$extends({})')

/** A client with this extension: the two updates are versioned, everything else is as it was. */
export function extendedProgram(): string {
  const functions = indexes.map(
    (index) => `export async function f${index}() {${ordinaryCalls('db', index)}
  const first = await db.${delegateName(index)}.updateVersioned({
    where: { id: created.id },
    data: (current) => ({ amount: current.amount - 1, kind: 'PLAIN' }),
    select: { amount: true, version: true },
  })
  const second = await db.${delegateName(index)}.updateVersioned({
    where: { id: created.id, version: first.version },
    data: { name: 'z' },
  })
  return [removed.count, first.amount, second.name] as const
}`,
  )
  return `import { PrismaClient } from './client/client.js'
import { concurrency } from './extension/index.js'

declare const base: PrismaClient
const db = base.$extends(concurrency())

${functions.join('\n\n')}
`
}
