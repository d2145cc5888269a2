import type { Argument, Expression } from '../engine/data-model.js'

/**
 * The syntax of the Prisma schema language: a reader of tokens, and a parser that makes blocks of
 * them. The meaning of the blocks is in schema-text.ts.
 *
 * Prisma's own parser is a WASM module of several megabytes. The ones on npm need `fs` or `util`
 * of Node, and are 31 and 44 kB gzip. The language is small: this is all of it.
 */

/** `@default(0)` has the name `default`, `@db.VarChar(20)` the name `db.VarChar`. */
export interface Attribute {
  readonly name: string
  readonly args: readonly Argument[]
}

export interface FieldDeclaration {
  readonly name: string
  readonly type: string
  readonly isList: boolean
  readonly isOptional: boolean
  readonly attributes: readonly Attribute[]
}

/** A model, view, enum, datasource, or any other block that begins with two words and a brace. */
export interface Block {
  readonly keyword: string
  readonly name: string
  /** The fields of a model or view. */
  readonly fields: FieldDeclaration[]
  /** The values of an enum. */
  readonly values: { readonly name: string; readonly attributes: readonly Attribute[] }[]
  /** `@@id`, `@@unique`, … */
  readonly attributes: Attribute[]
  /** `relationMode = "prisma"`, … */
  readonly settings: Map<string, Expression>
  /** Whether all of its lines were understood. */
  isWhole: boolean
}

interface Token {
  readonly kind: 'word' | 'number' | 'text' | 'sign' | 'end'
  readonly text: string
  /** Where it begins, and where the next one may. */
  readonly start: number
  readonly end: number
  /** Whether it is the first one of its line. */
  readonly isFirst: boolean
}

/** The space before a token, and the token. One expression: a program of 300 models reads 33,000 when it starts. */
const TOKEN = new RegExp(
  [
    String.raw`((?:\s+|//[^\r\n]*|/\*[\s\S]*?\*/)*)`, // spaces, line ends, and comments, of which one kind may span lines
    String.raw`(?:("(?:[^"\\]|\\.)*")`, // a text: the strings of JSON
    String.raw`|(-?\d+(?:\.\d+)?(?![\w-]))`, // a number
    String.raw`|(\w[\w-]*(?:\.\w[\w-]*)*)`, // a word
    String.raw`|(@@|[\s\S]))?`, // a sign
  ].join(''),
  'y',
)
const REST_OF_LINE = /[^\r\n]*/y

class NotUnderstood extends Error {}

/** Text that the parser does not understand, such as syntax of a later Prisma, is left out: a line, or a block. */
export function parseSchema(text: string): readonly Block[] {
  return new Parser(text).schema()
}

class Parser {
  readonly #text: string
  #token: Token

  constructor(text: string) {
    this.#text = text
    this.#token = this.#read(0)
  }

  schema(): readonly Block[] {
    const blocks: Block[] = []
    while (this.#token.kind !== 'end') this.#orSkipLine(() => blocks.push(this.#block()))
    return blocks
  }

  #block(): Block {
    const keyword = this.#take('word')
    const block: Block = {
      keyword,
      name: this.#take('word'),
      fields: [],
      values: [],
      attributes: [],
      settings: new Map(),
      isWhole: true,
    }
    if (!this.#is('{')) throw new NotUnderstood()
    // Prisma takes what stands behind the brace for a comment.
    this.#skipLine()
    while (!this.#is('}') && this.#token.kind !== 'end') {
      if (!this.#orSkipLine(() => this.#entry(block))) block.isWhole = false
    }
    if (this.#is('}')) this.#next()
    return block
  }

  #entry(block: Block): void {
    if (this.#takeIf('@@')) {
      const attribute = this.#attribute()
      this.#endOfEntry()
      block.attributes.push(attribute)
      return
    }
    const name = this.#take('word')
    switch (block.keyword) {
      case 'model':
      case 'view':
      case 'type': {
        const field = this.#field(name)
        this.#endOfEntry()
        block.fields.push(field)
        return
      }
      case 'enum': {
        const attributes = this.#attributes()
        this.#endOfEntry()
        block.values.push({ name, attributes })
        return
      }
      default: {
        this.#takeSign('=')
        const value = this.#expression()
        this.#endOfEntry()
        block.settings.set(name, value)
      }
    }
  }

  #field(name: string): FieldDeclaration {
    const type = this.#take('word')
    if (type === 'Unsupported') this.#args()
    const isList = this.#takeIf('[')
    if (isList) this.#takeSign(']')
    const isOptional = this.#takeIf('?')
    return { name, type, isList, isOptional, attributes: this.#attributes() }
  }

  #attributes(): readonly Attribute[] {
    const attributes: Attribute[] = []
    while (this.#takeIf('@')) attributes.push(this.#attribute())
    return attributes
  }

  #attribute(): Attribute {
    return { name: this.#take('word'), args: this.#is('(') ? this.#args() : [] }
  }

  #args(): readonly Argument[] {
    this.#takeSign('(')
    return this.#listUntil(')', () => {
      const value = this.#expression()
      if (value.kind !== 'name' || !this.#takeIf(':')) return { name: undefined, value }
      return { name: value.name, value: this.#expression() }
    })
  }

  #expression(): Expression {
    const { kind, text } = this.#token
    if (kind === 'sign' && text !== '[' && text !== '{') throw new NotUnderstood()
    this.#next()
    if (text === '[' && kind === 'sign') return { kind: 'list', items: this.#listUntil(']', () => this.#expression()) }
    if (kind === 'sign') {
      // The condition of a partial index; that there is one is all that counts.
      this.#listUntil('}', () => {
        this.#take('word')
        this.#takeSign(':')
        return this.#expression()
      })
      return { kind: 'record' }
    }
    if (kind === 'text') return { kind, text: parseText(text) }
    if (kind === 'number') return { kind, text }
    if (kind === 'end') throw new NotUnderstood()
    return this.#is('(') ? { kind: 'call', name: text, args: this.#args() } : { kind: 'name', name: text }
  }

  #listUntil<T>(closing: string, item: () => T): readonly T[] {
    const items: T[] = []
    while (!this.#takeIf(closing)) {
      items.push(item())
      if (!this.#is(closing)) this.#takeSign(',')
    }
    return items
  }

  /** Every entry has its own line. An entry with anything else behind it in the line is not understood. */
  #endOfEntry(): void {
    if (!this.#token.isFirst && !this.#is('}') && this.#token.kind !== 'end') throw new NotUnderstood()
  }

  /** Goes on behind the line that the failed one begins in, so that one entry never takes the next with it. */
  #orSkipLine(parse: () => void): boolean {
    const first = this.#token
    try {
      parse()
      return true
    } catch (error) {
      if (!(error instanceof NotUnderstood)) throw error
      this.#token = first
      this.#skipLine()
      return false
    }
  }

  #skipLine(): void {
    this.#token = this.#read(this.#token.start + this.#match(REST_OF_LINE, this.#token.start).length)
  }

  #is(sign: string): boolean {
    return this.#token.kind === 'sign' && this.#token.text === sign
  }

  #takeIf(sign: string): boolean {
    const isThere = this.#is(sign)
    if (isThere) this.#next()
    return isThere
  }

  #takeSign(sign: string): void {
    if (!this.#takeIf(sign)) throw new NotUnderstood()
  }

  #take(kind: 'word'): string {
    const { text } = this.#token
    // A name may begin with a digit, and then looks like a number.
    if (this.#token.kind !== kind && !(this.#token.kind === 'number' && /^\d+$/.test(text))) throw new NotUnderstood()
    this.#next()
    return text
  }

  #next(): void {
    this.#token = this.#read(this.#token.end)
  }

  #read(position: number): Token {
    TOKEN.lastIndex = position
    const found = TOKEN.exec(this.#text)
    const blank = found?.[1] ?? ''
    const start = position + blank.length
    const isFirst = position === 0 || (blank !== ' ' && /[\r\n]/.test(blank))
    const [string, number, word, sign] = [found?.[2], found?.[3], found?.[4], found?.[5]]
    const text = word ?? sign ?? string ?? number ?? ''
    const kind = word ? 'word' : sign ? 'sign' : string ? 'text' : number ? 'number' : 'end'
    return { kind, text, start, end: start + text.length, isFirst }
  }

  #match(pattern: RegExp, position: number): string {
    pattern.lastIndex = position
    return pattern.exec(this.#text)?.[0] ?? ''
  }
}

function parseText(text: string): string {
  try {
    return JSON.parse(text)
  } catch {
    throw new NotUnderstood()
  }
}
