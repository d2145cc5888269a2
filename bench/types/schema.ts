export const MODELS = 100

export const modelName = (index: number) => `Model${index}`
export const delegateName = (index: number) => `model${index}`

/** A schema of many models, each with the usual columns, a version, and relations to two others. */
export function schema(count = MODELS): string {
  const models = Array.from({ length: count }, (_, index) => model(index, count))
  return `generator client {
  provider               = "prisma-client"
  output                 = "./client"
  generatedFileExtension = "ts"
  importFileExtension    = "js"
}

datasource db {
  provider = "postgresql"
}

enum Kind {
  PLAIN
  SPECIAL
}

${models.join('\n\n')}
`
}

function model(index: number, count: number): string {
  const name = modelName(index)
  const next = modelName((index + 1) % count)
  const previous = modelName((index + count - 1) % count)
  return `model ${name} {
  id         Int      @id @default(autoincrement())
  code       String   @unique
  name       String
  amount     Int      @default(0)
  price      Decimal  @default(0)
  kind       Kind     @default(PLAIN)
  isOpen     Boolean  @default(true)
  note       String?
  settings   Json     @default("{}")
  createdAt  DateTime @default(now())
  updatedAt  DateTime @updatedAt
  version    Int      @default(0)
  nextId     Int?
  next       ${next}? @relation("next${index}", fields: [nextId], references: [id])
  previous   ${previous}[] @relation("next${(index + count - 1) % count}")
}`
}
