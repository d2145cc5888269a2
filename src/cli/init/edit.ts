import type { BlockText } from '../../prisma/schema-syntax.js'

/** Text that comes into a file. Everything else of the file stays as it is. */
export interface Insertion {
  readonly at: number
  readonly text: string
}

export interface NewField {
  readonly name: string
  readonly type: string
  readonly attributes: string
}

/** The text with the insertions. */
export function withInsertions(text: string, insertions: readonly Insertion[]): string {
  const ordered = [...insertions].sort((a, b) => a.at - b.at)
  let result = ''
  let done = 0
  for (const { at, text: added } of ordered) {
    result += text.slice(done, at) + added
    done = at
  }
  return result + text.slice(done)
}

/** A field behind the last one of a model, in line with those above it. */
export function fieldInsertion(text: string, model: BlockText, { name, type, attributes }: NewField): Insertion {
  const newline = newlineOf(text)
  const lines = fieldsOf(model)
  const last = lines.at(-1)
  if (last === undefined) return { at: model.start, text: `${newline}  ${name} ${type} ${attributes}` }
  // Prisma's formatter puts the lines up to an empty one in columns.
  const group = lines.filter((line) => line.end > text.lastIndexOf(newline + newline, last.end - 1))
  const indent = last.indent ?? group.find((line) => line.indent !== undefined)?.indent ?? '  '
  const types = Math.max(0, ...group.map((line) => line.type ?? 0))
  const columns = Math.max(0, ...group.map((line) => line.attribute ?? 0))
  const named = `${indent}${name} `.padEnd(types)
  return { at: last.end, text: `${newline}${`${named}${type} `.padEnd(columns)}${attributes}` }
}

/** Models behind the last line of a file. */
export function modelInsertion(text: string, models: string): Insertion {
  const newline = newlineOf(text)
  const gap = text === '' ? '' : text.endsWith('\n') ? newline : newline + newline
  return { at: text.length, text: gap + models.replaceAll('\n', newline) }
}

export const newlineOf = (text: string) => (text.includes('\r\n') ? '\r\n' : '\n')

/** A field of a model: where it ends, and the columns in which its parts begin, where it is in one line. */
interface FieldLines {
  readonly end: number
  readonly indent?: string
  readonly type?: number
  readonly attribute?: number
}

/** Texts and comments, in which an end of a line means nothing; and ends of lines. */
const PART = /"(?:[^"\\\r\n]|\\.)*"|\/\/[^\r\n]*|\/\*[\s\S]*?\*\/|\r?\n/g
const FIELD = /^([ \t]*)(\w+)([ \t]+)(\S+)(?:([ \t]+)@)?/

/** A field ends with its line, or with that of a comment which begins there. Entries that begin with @@ are no fields. */
function fieldsOf({ start, body }: BlockText): FieldLines[] {
  const fields: FieldLines[] = []
  let begin = 0
  for (const { 0: part, index } of body.matchAll(PART)) {
    if (!/^\r?\n$/.test(part)) continue
    const entry = body.slice(begin, index)
    if (/^\s*\w/.test(entry)) fields.push({ end: start + index, ...columnsOf(entry) })
    begin = index + part.length
  }
  return fields
}

function columnsOf(entry: string): Omit<FieldLines, 'end'> {
  const [all, indent = '', name = '', gap = '', type = '', space] = FIELD.exec(entry) ?? []
  if (all === undefined || entry.includes('\n')) return {}
  const column = indent.length + name.length + gap.length
  return { indent, type: column, ...(space !== undefined && { attribute: column + type.length + space.length }) }
}
