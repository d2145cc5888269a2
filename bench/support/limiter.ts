/** Lets so many through at once; the others wait in the order in which they came. */
export function limiter(most: number) {
  let free = most
  const waiting: (() => void)[] = []
  return async function limited<R>(body: () => Promise<R>): Promise<R> {
    if (free > 0) free--
    else await new Promise<void>((admit) => waiting.push(admit))
    try {
      return await body()
    } finally {
      const next = waiting.shift()
      if (next) next()
      else free++
    }
  }
}
