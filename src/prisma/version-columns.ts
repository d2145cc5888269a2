/** What `concurrency()` knows of the version columns of a client's models. */
export interface VersionColumns {
  /**
   * The version column's field. `undefined` is a model that has none, and `false` one that the
   * options say is not versioned.
   */
  fieldOf(model: string): string | false | undefined
}

/** How Prisma chains the extensions that a client is made of, the last one first (read on 7.10). */
interface Link {
  readonly extension: object
  readonly previous?: Link
}

const COLUMNS = new WeakMap<object, VersionColumns>()

/**
 * Notes the version columns for everybody who is given this client, or one derived from it: it is
 * noted beside the extension itself, which all of them are made of, and none of those below it.
 */
export function noteVersionColumns(client: object, columns: VersionColumns): void {
  const last = lastExtension(client)
  if (last === undefined) {
    throw new Error(
      'prisma-extension-concurrency does not know this version of Prisma: its clients list no extensions.',
    )
  }
  COLUMNS.set(last.extension, columns)
}

/** What the last `concurrency()` that the client is made of knows; `undefined` without one. */
export function versionColumnsOf(client: object): VersionColumns | undefined {
  for (let link = lastExtension(client); link !== undefined; link = link.previous) {
    const columns = COLUMNS.get(link.extension)
    if (columns) return columns
  }
  return undefined
}

function lastExtension(client: object): Link | undefined {
  return (client as { readonly _extensions?: { readonly head?: Link } })._extensions?.head
}
