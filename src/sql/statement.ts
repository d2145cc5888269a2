import { madeOnce } from '../engine/made-once.js'
import type { SqlStatement } from '../engine/session.js'

declare const SQL_TEXT: unique symbol

/** Text that is safe in a statement as it is: a quoted identifier, or SQL of our own. No value of a user's. */
export type SqlText = string & { readonly [SQL_TEXT]: true }

/** SQL text that this package has written itself, or has quoted. */
export function raw(text: string): SqlText {
  return text as SqlText
}

/** A value that is sent beside the text. */
export class Parameter {
  constructor(
    readonly value: unknown,
    readonly type: string | undefined,
  ) {}
}

/**
 * A value in a statement: `$1`, or `$1::int8` with a type. The same parameter may stand in several
 * places: it has one number.
 */
export function param(value: unknown, type?: string): Parameter {
  return new Parameter(value, type)
}

/** A part of a statement. `undefined` and `false` stand for nothing, so that a part can be optional. */
export type Piece = SqlText | Parameter | Statement | undefined | false

/** SQL and its values. A statement may be a part of another one. */
export class Statement implements SqlStatement {
  #rendered: SqlStatement | undefined

  constructor(readonly pieces: readonly (string | Parameter)[]) {}

  get text(): string {
    return this.#render().text
  }

  get values(): readonly unknown[] {
    return this.#render().values
  }

  #render(): SqlStatement {
    if (this.#rendered) return this.#rendered
    const numbers = new Map<Parameter, number>()
    let text = ''
    for (const piece of this.pieces) {
      if (typeof piece === 'string') {
        text += piece
        continue
      }
      const number = numbers.get(piece) ?? numbers.size + 1
      numbers.set(piece, number)
      text += piece.type === undefined ? `$${number}` : `$${number}::${piece.type}`
    }
    this.#rendered = { text, values: Array.from(numbers.keys(), ({ value }) => value) }
    return this.#rendered
  }
}

/**
 * A statement, written as it would be read in psql. A value goes in as `param(value)`, a name as what
 * `quoted`, `columnOf` or `tableOf` gives; a plain string does not compile, so no value can become SQL.
 *
 * @example
 * sql`UPDATE ${tableOf(model)} SET ${columnOf(field)} = ${param(5, 'int4')}`
 */
export function sql(strings: TemplateStringsArray, ...pieces: readonly Piece[]): Statement {
  const all: (string | Parameter)[] = [strings[0] ?? '']
  pieces.forEach((piece, i) => {
    add(all, piece)
    all.push(strings[i + 1] ?? '')
  })
  return new Statement(all)
}

/** The pieces one after another, with a separator between them. */
export function join(pieces: readonly SqlText[], separator?: string): SqlText
export function join(pieces: readonly Piece[], separator?: string): Statement
export function join(pieces: readonly Piece[], separator = ', '): SqlText | Statement {
  if (pieces.every((piece) => typeof piece === 'string')) return raw(pieces.join(separator))
  const all: (string | Parameter)[] = []
  for (const piece of pieces) {
    if (piece === undefined || piece === false) continue
    if (all.length > 0) all.push(separator)
    add(all, piece)
  }
  return new Statement(all)
}

function add(all: (string | Parameter)[], piece: Piece): void {
  if (piece instanceof Statement) all.push(...piece.pieces)
  else if (piece !== undefined && piece !== false) all.push(piece)
}

const MOST_TEXTS = 1_000

/** The text of a statement, which is written once for each key: that takes longer than all else that a call does here. */
export function textOnce(texts: Map<string, string>, key: string, write: () => SqlStatement): string {
  if (texts.size > MOST_TEXTS) texts.clear()
  return madeOnce(texts, key, () => write().text)
}
