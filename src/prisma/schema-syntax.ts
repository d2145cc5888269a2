import type { Argument, Expression } from '../engine/data-model.js'

/**
 * The syntax of the Prisma schema language. The meaning of the blocks is in schema-text.ts.
 *
 * Prisma's own parser is a WASM module of several megabytes. The ones on npm need `fs` or `util`
 * of Node, and are 31 and 44 kB gzip. The language is small: this is all of it.
 */

/** `@default(0)` has the name `default`, `@db.VarChar(20)` the name `db.VarChar`. */
export interface Attribute {
  readonly name: string
  readonly args: readonly Argument[]
}

/** A field of a model, a value of an enum, or a setting, such as `relationMode = "prisma"`. */
export interface Entry {
  readonly name: string
  /** Empty where there is none. */
  readonly type: string
  readonly isList: boolean
  readonly isOptional: boolean
  readonly attributes: readonly Attribute[]
  /** Of a setting. */
  readonly value: Expression | undefined
}

export interface Block {
  readonly entries: Entry[]
  /** `@@id`, `@@unique`, … */
  readonly attributes: Attribute[]
  /** Whether all of its lines were understood. */
  isWhole: boolean
}

/** A block that is not parsed yet. */
export interface BlockText {
  readonly keyword: string
  readonly name: string
  /** Where the body begins in the text. */
  readonly start: number
  readonly body: string
}

/** Texts and comments, in which a brace means nothing; the head of a block, where Prisma takes what follows the brace for a comment; and braces. */
const BRACE =
  /"(?:[^"\\\r\n]|\\.)*"|\/\/[^\r\n]*|\/\*[\s\S]*?\*\/|\b(model|view|enum|datasource)\s+(\w[\w-]*)\s*\{[^\r\n]*|[{}]/g

/**
 * Cuts a schema into its blocks, of which a program parses those that it uses: `$extends` of 300 models takes a
 * twentieth of the time that it takes to parse all.
 */
export function splitSchema(text: string): readonly BlockText[] {
  const blocks: BlockText[] = []
  let depth = 0
  let open: { readonly keyword: string; readonly name: string; readonly start: number } | undefined
  for (const { 0: found, 1: keyword, 2: name, index } of text.matchAll(BRACE)) {
    if (keyword && name) {
      depth = 1
      open = { keyword, name, start: index + found.length }
    } else if (found === '{') depth++
    else if (found === '}' && --depth === 0 && open) {
      blocks.push({ ...open, body: text.slice(open.start, index) })
      open = undefined
    }
  }
  return blocks
}

/** The space before a token, comments among it; and the token: a text as in JSON, a word or number, or a sign. */
const TOKEN = /((?:\s|\/\/[^\r\n]*|\/\*[\s\S]*?\*\/)*)("(?:[^"\\\r\n]|\\.)*"|-?\w[\w-]*(?:\.\w[\w-]*)*|@@|[\s\S])?/g

/** Text that the parser does not understand, such as syntax of a later Prisma, is left out: a line. */
export function parseBlock({ body }: BlockText): Block {
  return new Parser(body).block()
}

class Parser {
  /** The last ones are empty. */
  readonly #tokens: readonly { readonly text: string; readonly isFirstOfLine: boolean }[]
  #index = 0

  constructor(body: string) {
    this.#tokens = Array.from(body.matchAll(TOKEN), ([, blank = '', text = '']) => ({
      text,
      isFirstOfLine: text === '' || /[\r\n]/.test(blank),
    }))
  }

  block(): Block {
    const block: Block = { entries: [], attributes: [], isWhole: true }
    while (this.#text !== '') {
      const first = this.#index
      try {
        this.#entry(block)
      } catch (error) {
        if (!(error instanceof SyntaxError)) throw error
        // Goes on behind the line that the failed one begins in, so that one entry never takes the next with it.
        block.isWhole = false
        this.#index = first + 1
        while (!this.#isFirstOfLine) this.#index++
      }
    }
    return block
  }

  get #text(): string {
    return this.#tokens[this.#index]?.text ?? ''
  }

  get #isFirstOfLine(): boolean {
    return this.#tokens[this.#index]?.isFirstOfLine ?? true
  }

  /** Every entry has its own line. An entry with anything else behind it in the line is not understood. */
  #entry({ entries, attributes }: Block): void {
    const isAttribute = this.#takeIf('@@')
    const entry = isAttribute ? this.#attribute() : this.#field()
    if (!this.#isFirstOfLine) throw new SyntaxError()
    if ('args' in entry) attributes.push(entry)
    else entries.push(entry)
  }

  #field(): Entry {
    const name = this.#word()
    const value = this.#takeIf('=') ? this.#expression() : undefined
    const type = !this.#isFirstOfLine && isWord(this.#text) ? this.#word() : ''
    if (type === 'Unsupported') this.#args()
    const isList = this.#takeIf('[')
    if (isList) this.#take(']')
    const isOptional = this.#takeIf('?')
    const attributes: Attribute[] = []
    while (this.#takeIf('@')) attributes.push(this.#attribute())
    return { name, type, isList, isOptional, attributes, value }
  }

  #attribute(): Attribute {
    return { name: this.#word(), args: this.#text === '(' ? this.#args() : [] }
  }

  #args(): readonly Argument[] {
    this.#take('(')
    return this.#listUntil(')', () => {
      const value = this.#expression()
      return value.kind === 'name' && this.#takeIf(':')
        ? { name: value.name, value: this.#expression() }
        : { name: undefined, value }
    })
  }

  #expression(): Expression {
    const text = this.#text
    if (this.#takeIf('[')) return { kind: 'list', items: this.#listUntil(']', () => this.#expression()) }
    if (this.#takeIf('{')) {
      // The condition of a partial index; that there is one is all that counts.
      this.#listUntil('}', () => {
        this.#word()
        this.#take(':')
        this.#expression()
      })
      return { kind: 'record' }
    }
    if (text.startsWith('"')) {
      this.#index++
      return { kind: 'text', text: JSON.parse(text) }
    }
    const name = this.#word()
    if (/^-?\d+(?:\.\d+)?$/.test(name)) return { kind: 'number', text: name }
    return this.#text === '(' ? { kind: 'call', name, args: this.#args() } : { kind: 'name', name }
  }

  #listUntil<T>(closing: string, item: () => T): readonly T[] {
    const items: T[] = []
    while (!this.#takeIf(closing)) {
      items.push(item())
      if (this.#text !== closing) this.#take(',')
    }
    return items
  }

  #takeIf(sign: string): boolean {
    const isThere = this.#text === sign
    if (isThere) this.#index++
    return isThere
  }

  #take(sign: string): void {
    if (!this.#takeIf(sign)) throw new SyntaxError()
  }

  #word(): string {
    const text = this.#text
    if (!isWord(text)) throw new SyntaxError()
    this.#index++
    return text
  }
}

const isWord = (text: string) => /^-?\w/.test(text)
