/** The text of a failure in the result: one line, the same for like failures, and without this machine's paths. */

const LONGEST = 160

export function failureMessage(error: unknown): string {
  if (!(error instanceof Error)) return shortened(String(error))
  const code = 'code' in error && error.code !== undefined ? ` ${error.code}` : ''
  const lines = error.message.split('\n').filter((line) => line.trim() !== '')
  // Prisma shows the source of the call first, and what went wrong in its last line.
  const text = lines[0]?.startsWith('Invalid `') ? lines.at(-1) : lines.join(' ')
  return shortened(`${error.name}${code}: ${text ?? ''}`)
}

function shortened(text: string): string {
  const line = text
    .replaceAll(/(?:file:\/\/)?(?:\/[\w.@+-]+){2,}/g, '…')
    .replaceAll(/(?<![A-Z\d])\d+/g, 'N') // but P2034 is a name
    .replaceAll(/\s+/g, ' ')
    .trim()
  return line.length > LONGEST ? `${line.slice(0, LONGEST - 1)}…` : line
}
