import type { z } from 'zod'
import { ConfigurationError, type ConfigurationIssue, InvalidArgumentError } from './errors.js'

/** Checks options given when the client is extended: all mistakes at once, each with its path. */
export function checkConfiguration(schema: z.ZodType, value: unknown): void {
  const result = schema.safeParse(value)
  if (!result.success) throw new ConfigurationError(issuesOf(result.error))
}

/** Checks the arguments of a call: the first mistake, with its field. */
export function checkArguments<T>(schema: z.ZodType<T>, value: unknown): T {
  const result = schema.safeParse(value)
  if (result.success) return result.data
  const [first] = issuesOf(result.error)
  throw new InvalidArgumentError(first?.path || 'options', `${first?.message ?? 'are not valid'}.`)
}

function issuesOf(error: z.ZodError): ConfigurationIssue[] {
  return error.issues.flatMap((issue) =>
    issue.code === 'unrecognized_keys'
      ? issue.keys.map((key) => ({ path: [...issue.path, key].join('.'), message: 'is not an option' }))
      : [{ path: issue.path.join('.'), message: issue.message }],
  )
}
