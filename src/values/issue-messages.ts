import type * as z from 'zod/mini'

const NAMES: Readonly<Record<string, string>> = {
  array: 'a list',
  bigint: 'a bigint',
  boolean: 'true or false',
  number: 'a number',
  object: 'an object',
  record: 'an object',
  string: 'a string',
}

/** The mistake in a value, where its schema has no words of its own: zod/mini has none at all. */
export function messageOf(issue: z.core.$ZodRawIssue): string {
  switch (issue.code) {
    case 'invalid_type':
      return `must be ${NAMES[issue.expected] ?? issue.expected}`
    case 'invalid_value':
      return `must be ${issue.values.map((value) => (typeof value === 'string' ? `'${value}'` : String(value))).join(' or ')}`
    case 'too_small':
      return `must ${sized(issue.origin)} ${issue.inclusive ? 'at least' : 'more than'} ${issue.minimum}`
    case 'too_big':
      return `must ${sized(issue.origin)} ${issue.inclusive ? 'at most' : 'less than'} ${issue.maximum}`
    default:
      return 'is not of a form that is taken here'
  }
}

function sized(origin: string): string {
  if (origin === 'string') return 'have a length of'
  return origin === 'array' ? 'have a number of items of' : 'be'
}
