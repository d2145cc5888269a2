// Writes docs/reference from the doc comments of everything that the package exports, and from the SQL in
// test/frozen/sql.md. With --check it writes nothing, and fails if the pages are not what it would write.
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import ts from 'typescript'

const ROOT = fileURLToPath(new URL('..', import.meta.url))
const FOLDER = `${ROOT}docs/reference`
const ENTRIES = {
  'src/index.ts': 'prisma-extension-concurrency',
  'src/erp.ts': 'prisma-extension-concurrency/erp',
  'src/work.ts': 'prisma-extension-concurrency/work',
  'src/pg.ts': 'prisma-extension-concurrency/pg',
  'src/testing.ts': 'prisma-extension-concurrency/testing',
  'src/otel.ts': 'prisma-extension-concurrency/otel',
  'src/report.ts': 'prisma-extension-concurrency/report',
}

/** The pages, each with the folders of src whose exports it shows; the first one shows all others, too. */
const PAGES = {
  concurrency: { title: 'The extension and its options', folders: [] },
  versioning: { title: 'Versioned writes', folders: ['versioning', 'transitions'], guide: 'versioned-updates' },
  idempotency: { title: 'Once only', folders: ['idempotency'], guide: 'operation-once' },
  transactions: { title: 'Transactions', folders: ['transactions'], guide: 'transactions' },
  locking: { title: 'Locks', folders: ['locking'], guide: 'advisory-locks' },
  stock: { title: 'Stock', folders: ['stock'], guide: 'stock' },
  serials: { title: 'Serial numbers', folders: ['serials'], guide: 'serial-numbers' },
  series: { title: 'Number series', folders: ['series'], guide: 'number-series' },
  leases: { title: 'Leases', folders: ['leases'], guide: 'job-of-hours' },
  jobs: { title: 'Jobs', folders: ['jobs'], guide: 'job-of-hours' },
  outbox: { title: 'Outbox', folders: ['outbox'], guide: 'outbox' },
  inbox: { title: 'Inbox', folders: ['inbox'], guide: 'message-consumer' },
  steps: { title: 'Operations in steps', folders: ['steps'], guide: 'payment-in-steps' },
  replicas: { title: 'Reads from replicas', folders: ['replicas'], guide: 'read-replicas' },
  doctor: { title: 'Checks', folders: ['doctor'], guide: 'checks' },
  pg: { title: 'Without Prisma', folders: ['pg'], guide: 'pg' },
  events: { title: 'Events and OpenTelemetry', folders: ['events', 'otel', 'report'], guide: 'events' },
  testing: { title: 'Testing', folders: ['testing'], guide: 'testing' },
  errors: { title: 'Errors', folders: ['errors'], guide: 'errors' },
}

/** The interfaces whose members are methods for users, with what stands before a member's name in a call. */
const METHODS = {
  VersionedModelMethods: '',
  IdempotentModelMethods: '',
  IdempotentClientMethods: '',
  TransactionClientMethods: '',
  LockClientMethods: '',
  RowLockModelMethods: '',
  LeaseClientMethods: '',
  JobClientMethods: '',
  TransitionModelMethods: '',
  Outbox: '$outbox.',
  InboxClientMethods: '',
  StepsClientMethods: '',
  ReplicaMethods: '',
  EventClientMethods: '',
  CheckClientMethods: '',
  Stock: '$stock.',
  StockLooks: '$stock.',
  StockPeriods: '$stock.',
  Serials: '$serials.',
  SerialsHistory: '$serials.',
  NumberSeries: '$series.',
  PgRootMethods: '',
  PgClientMethods: '',
  PgTransactionMethods: '',
}

const NOTICE = '<!-- Written by scripts/reference.mjs (npm run docs). Do not edit. -->'

const write = (text) => text.join('\n\n')
const code = (language, text) => `\`\`\`${language}\n${text.trimEnd()}\n\`\`\``
const anchor = (heading) =>
  heading
    .toLowerCase()
    .replaceAll(/[^\p{L}\p{N} _-]/gu, '')
    .replaceAll(' ', '-')

/** Everything that is exported: name, where it can be imported from, page, and declaration. */
function readExports() {
  const files = Object.keys(ENTRIES).filter((path) => existsSync(ROOT + path))
  const { config } = ts.readConfigFile(`${ROOT}tsconfig.build.json`, ts.sys.readFile)
  const { options } = ts.parseJsonConfigFileContent(config, ts.sys, ROOT)
  const program = ts.createProgram(
    files.map((path) => ROOT + path),
    options,
  )
  const checker = program.getTypeChecker()
  return files.flatMap((path) => {
    const module = checker.getSymbolAtLocation(program.getSourceFile(ROOT + path))
    return checker.getExportsOfModule(module).map((symbol) => {
      const target = symbol.flags & ts.SymbolFlags.Alias ? checker.getAliasedSymbol(symbol) : symbol
      const declarations = target.declarations.filter((node) => ts.isTypeElement(node) || ts.isStatement(node))
      return { name: symbol.name, from: ENTRIES[path], page: pageOf(declarations[0]), declarations, checker }
    })
  })
}

function pageOf(node) {
  const path = node.getSourceFile().fileName
  const folder = /\/src\/(?:([\w-]+)\/)?/.exec(path)?.[1]
  if (path.endsWith('/src/pg.ts')) return 'pg'
  return Object.keys(PAGES).find((page) => PAGES[page].folders.includes(folder)) ?? 'concurrency'
}

/** A doc comment in its parts. */
function docOf(node) {
  const tags = ts.getJSDocTags(node)
  const text = (comment) => (ts.getTextOfJSDocComment(comment) ?? '').trim()
  const own = node.jsDoc?.at(-1) ?? node.parent?.parent?.jsDoc?.at(-1)
  const named = (name) => tags.filter(({ tagName }) => tagName.text === name)
  const parts = named('example').map(({ comment }) => text(comment).split(/(?:^|\n\n)(?=Source: )/))
  return {
    text: text(own?.comment),
    parameters: named('param').map((tag) => `\`${tag.name.getText()}\`: ${oneLine(text(tag.comment))}`),
    returns: named('returns').map(({ comment }) => oneLine(text(comment))),
    throws: named('throws').map(({ comment }) => oneLine(text(comment))),
    examples: parts.map(([example]) => example),
    source: parts.flatMap(([, ...source]) => source).map(oneLine),
  }
}

const oneLine = (text) => text.replaceAll(/\s*\n\s*/g, ' ')

/** The text of a doc comment, as a part of a page. */
function prose(doc) {
  const list = (title, items) =>
    items.length === 0 ? [] : [`${title}\n\n${items.map((item) => `- ${item}`).join('\n')}`]
  return [
    ...(doc.text === '' ? [] : [doc.text]),
    ...list('Parameters:', doc.parameters),
    ...doc.returns.map((text) => `Returns ${text}.`),
    ...list('Throws:', doc.throws.map(withLinkedErrors)),
    ...doc.examples.map((example) => code('ts', example)),
    ...doc.source.map((text) => `${text}`),
  ]
}

const withLinkedErrors = (text) =>
  text.replaceAll(/\b[A-Z]\w+Error\b/g, (name) => `[\`${name}\`](errors.md#${anchor(name)})`)

/** The type of a function, without `this`, with a line for each parameter where one line is too short. */
function signature(name, { typeParameters, parameters, type }) {
  const generic = typeParameters ? `<${typeParameters.map((node) => node.getText()).join(', ')}>` : ''
  const given = parameters.filter((node) => node.name.getText() !== 'this').map((node) => node.getText())
  const returned = type === undefined ? '' : `: ${type.getText()}`
  const line = `${name}${generic}(${given.join(', ')})${returned}`
  if (line.length <= 100 && !line.includes('\n')) return line
  return `${name}${generic}(\n${given.map((text) => `  ${text.replaceAll('\n  ', '\n    ')},\n`).join('')})${returned}`
}

/** The chapters of test/frozen/sql.md: each call, and the statements that it sent. */
function readChapters() {
  const chapters = readFileSync(`${ROOT}test/frozen/sql.md`, 'utf8').split(/^## /m).slice(1)
  return chapters.map((chapter) => {
    const [title, ...lines] = chapter.split('\n')
    return { title, sql: lines.join('\n').trim() }
  })
}

/** The chapters by the name of the call. */
function readSql() {
  const byCall = new Map()
  for (const { title, sql } of readChapters()) {
    const [, call, label] = /^(\$?[\w.$]+),? (.*)$/.exec(title)
    byCall.set(call, [...(byCall.get(call) ?? []), { label, sql }])
  }
  return byCall
}

const sqlParts = (chapters) =>
  chapters.map(({ label, sql }) => `<details><summary>SQL: ${label}</summary>\n\n${code('sql', sql)}\n\n</details>`)

/** The methods of an interface, each with its signature, its comment and its SQL. */
function methodParts({ name: owner, declarations, checker }, sql) {
  return declarations.flatMap((declaration) => [
    ...prose(docOf(declaration)),
    ...declaration.members.flatMap((member) => {
      const name = `${METHODS[owner]}${member.name.getText()}`
      return [
        `### ${name}`,
        code(
          'typescript',
          functionsOf(member, checker)
            .map((type) => signature(member.name.getText(), type))
            .join('\n'),
        ),
        ...prose(docOf(member)),
        ...sqlParts(sql.get(name) ?? []),
      ]
    }),
  ])
}

/** The function type of a member: its own, or that of the type that it names, which may be an interface of several. */
function functionsOf(member, checker) {
  if (!member.type || !ts.isTypeReferenceNode(member.type) || ts.isMethodSignature(member)) return [member]
  const symbol = checker.getSymbolAtLocation(member.type.typeName)
  const target = symbol.flags & ts.SymbolFlags.Alias ? checker.getAliasedSymbol(symbol) : symbol
  const [named] = target.declarations
  const calls = ts.isInterfaceDeclaration(named) ? named.members.filter(ts.isCallSignatureDeclaration) : []
  if (calls.length > 0) return calls
  return named.type && ts.isFunctionTypeNode(named.type) ? [named.type] : [member]
}

function functionParts({ name, declarations }) {
  // Of overloads, the declaration with the body is not one that can be called.
  const signatures = declarations.filter((node, _, all) => all.length === 1 || !node.body)
  return [
    `### ${name}`,
    code('typescript', signatures.map((node) => signature(name, node)).join('\n')),
    ...prose(docOf(declarations[0])),
  ]
}

function classParts({ name, declarations: [declaration] }) {
  const isPublic = (member) =>
    !member.modifiers?.some(({ kind }) => kind === ts.SyntaxKind.PrivateKeyword) &&
    member.name?.kind !== ts.SyntaxKind.PrivateIdentifier
  const members = declaration.members.filter(isPublic).map((member) => {
    const comment = (member.jsDoc ?? []).map((doc) => `  ${doc.getText()}\n`).join('')
    if (ts.isConstructorDeclaration(member))
      return `${comment}  ${signature('constructor', member).replaceAll('\n', '\n  ')}`
    if (ts.isMethodDeclaration(member)) return `${comment}  ${signature(member.name.getText(), member)}`
    return `${comment}  ${member.getText()}`
  })
  const [base] = declaration.heritageClauses ?? []
  const head = `class ${name}${base ? ` ${base.getText()}` : ''}`
  return [`### ${name}`, ...prose(docOf(declaration)), code('typescript', `${head} {\n${members.join('\n')}\n}`)]
}

function typeParts({ name, declarations }) {
  const text = declarations.map((node) => node.getText().replace(/^export (?:declare )?/, ''))
  return [`### ${name}`, ...prose(docOf(declarations[0])), code('typescript', text.join('\n'))]
}

const kinds = [
  { title: 'Functions', has: ({ declarations: [node] }) => ts.isFunctionDeclaration(node), parts: functionParts },
  { title: 'Methods', has: ({ name }) => Object.hasOwn(METHODS, name), parts: methodParts },
  { title: 'Classes', has: ({ declarations: [node] }) => ts.isClassDeclaration(node), parts: classParts },
  { title: 'Types', has: () => true, parts: typeParts },
]

function pageText(id, exported, sql) {
  const { title, guide } = PAGES[id]
  const from = [...new Set(exported.map((entry) => `\`${entry.from}\``))].join(' and ')
  const rest = [...exported]
  const sections = kinds.flatMap((kind) => {
    const own = rest.filter(kind.has)
    for (const entry of own) rest.splice(rest.indexOf(entry), 1)
    return own.length === 0 ? [] : [`## ${kind.title}`, ...own.flatMap((entry) => kind.parts(entry, sql))]
  })
  const about = guide === undefined ? '' : ` What to do with it is in [the guide](../guide/${guide}.md).`
  return `${write([NOTICE, `# ${title}`, `Exports of ${from}.${about}`, ...sections])}\n`
}

/** The calls that a page documents, such as `$stock.move`. */
function namesOfMethods(exported) {
  return exported
    .filter(({ name }) => Object.hasOwn(METHODS, name))
    .flatMap(({ name, declarations }) =>
      declarations.flatMap(({ members }) => members.map((member) => `${METHODS[name]}${member.name.getText()}`)),
    )
}

function indexText(pages) {
  const rows = Object.entries(pages).map(([id, exported]) => {
    const called = namesOfMethods(exported)
    const functions = exported.filter(kinds[0].has).map(({ name }) => name)
    const links = [...functions, ...called].map((name) => `[\`${name}\`](${id}.md#${anchor(name)})`)
    return `| [${PAGES[id].title}](${id}.md) | ${links.join(', ')} |`
  })
  return `${write([
    NOTICE,
    '# Reference',
    'Everything that the package exports: signatures, comments, errors, examples, and the SQL that each call sends. ' +
      '`npm run docs` makes these pages from the doc comments in `src` and from `test/frozen/sql.md`; do not edit them.',
    `| Page | Functions and methods |\n|---|---|\n${rows.join('\n')}`,
    '[How many statements each call sends](statements.md) is a table of its own.',
    'The SQL is that of a second call: the first call of a feature also looks into the catalogue of the database. The ' +
      'BEGIN and COMMIT of a call on a `tx` are those of the transaction around it.',
  ])}\n`
}

const CASES = { new: 0, 'a replay': 1, 'a duplicate': 1, refused: 2 }

/** How many statements each call sends, with a row for each form of it. */
function statementsText(pages) {
  // Last to first: a method that is also there without Prisma is that of Prisma.
  const calls = Object.entries(pages).flatMap(([id, exported]) => namesOfMethods(exported).map((name) => [name, id]))
  const pageOfCall = new Map(calls.toReversed())
  const rows = new Map()
  for (const { title, sql } of readChapters()) {
    const [, form, kind = 'new', place] = /^(.+?)(?:, (new|a duplicate|a replay|refused))?, on (.+)$/.exec(title)
    const isOnTx = place === 'a tx'
    const count = sql.split(/;\n\n/).length - (isOnTx ? 2 : 0)
    const row = rows.get(form) ?? rows.set(form, Array(6).fill('–')).get(form)
    row[CASES[kind] + (isOnTx ? 3 : 0)] = count
  }
  const lines = Array.from(rows, ([form, counts]) => {
    const [call, ...rest] = form.split(' ')
    const link = `[\`${call}\`](${pageOfCall.get(call)}.md#${anchor(call)})`
    return { link, text: `| ${[link, ...rest].join(' ')} | ${counts.join(' | ')} |` }
  })
  const reasons = JSON.parse(readFileSync(`${ROOT}test/frozen/uncounted.json`, 'utf8'))
  const uncounted = Object.entries(reasons).map(
    ([call, reason]) => `- [\`${call}\`](${pageOfCall.get(call)}.md#${anchor(call)}) ${reason}`,
  )
  // The forms of a method stand together, in the order of the pages.
  const order = calls.map(([name]) => `[\`${name}\`](`)
  const place = ({ link }) => order.findIndex((beginning) => link.startsWith(beginning))
  const sorted = lines.toSorted((a, b) => place(a) - place(b))
  return `${write([
    NOTICE,
    '# Statements of each call',
    'How many statements a call sends, counted in the SQL that the reference shows. Each statement is one round trip: it ' +
      'is sent when the one before it is answered. BEGIN and COMMIT count on the client; on a `tx` those of the ' +
      'transaction around the call do not.',
    'New: the call writes. Replay: its key, transaction id or period was there before. Refused: it throws an error, such ' +
      'as that of a stale version or of too little stock, and has written nothing.',
    '| Call | client, new | client, replay | client, refused | tx, new | tx, replay | tx, refused |\n' +
      `|---|--:|--:|--:|--:|--:|--:|\n${sorted.map(({ text }) => text).join('\n')}`,
    'These are the numbers of a single caller and a second call: the first call of a feature also looks into the ' +
      'catalogue of the database. Calls of one process that come together share their statements.',
    `Methods that are not in the table:\n\n${uncounted.join('\n')}`,
  ])}\n`
}

/** Methods in the order above; all else by its name, so that a move in the sources changes nothing. */
function byName({ name: a }, { name: b }) {
  const place = (name) => Object.keys(METHODS).indexOf(name)
  return place(a) - place(b) || (a < b ? -1 : 1)
}

/** Every page, by its file name. */
function render() {
  const [all, sql] = [readExports(), readSql()]
  const seen = new Set()
  const once = all.filter(({ declarations: [node] }) => !seen.has(node) && seen.add(node)).sort(byName)
  const pages = Object.fromEntries(
    Object.keys(PAGES)
      .map((id) => [id, once.filter(({ page }) => page === id)])
      .filter(([, exported]) => exported.length > 0),
  )
  const texts = Object.entries(pages).map(([id, exported]) => [`${id}.md`, pageText(id, exported, sql)])
  return new Map([['README.md', indexText(pages)], ['statements.md', statementsText(pages)], ...texts])
}

const pages = render()
const present = existsSync(FOLDER) ? readdirSync(FOLDER) : []
const isStale = (name) => !present.includes(name) || readFileSync(`${FOLDER}/${name}`, 'utf8') !== pages.get(name)
if (process.argv.includes('--check')) {
  const stale = [...[...pages.keys()].filter(isStale), ...present.filter((name) => !pages.has(name))]
  for (const name of stale) console.error(`docs/reference/${name} is not up to date: npm run docs`)
  process.exitCode = stale.length === 0 ? 0 : 1
} else {
  mkdirSync(FOLDER, { recursive: true })
  for (const name of present) if (!pages.has(name)) rmSync(`${FOLDER}/${name}`)
  for (const [name, text] of pages) writeFileSync(`${FOLDER}/${name}`, text)
}
