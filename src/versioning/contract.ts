import { ConfigurationError } from '../errors/index.js'

/** The table and the version column of a model, for the SQL of the trigger. */
export interface VersionedTable {
  readonly model: { readonly table: string; readonly schema: string }
  readonly version: { readonly column: string }
}

/** Of a `contract.json` of Prisma 8, the parts that name a model's table and columns. */
interface Contract {
  readonly domain: {
    readonly namespaces: Readonly<Record<string, { readonly models?: Readonly<Record<string, ContractModel>> }>>
  }
}

interface ContractModel {
  readonly fields: Readonly<
    Record<string, { readonly nullable: boolean; readonly type: { readonly codecId?: string } }>
  >
  readonly storage: {
    readonly fields: Readonly<Record<string, { readonly column: string }>>
    readonly table: string
    readonly namespaceId: string
  }
}

export function isContract(given: object): given is Contract {
  return 'domain' in given && 'storage' in given && 'targetFamily' in given
}

/** @throws ConfigurationError if the model has no such required integer field */
export function tableInContract({ domain }: Contract, name: string, field = 'version'): VersionedTable {
  const found = Object.values(domain.namespaces).flatMap(({ models }) => models?.[name] ?? [])
  const [model] = found
  if (model === undefined) throw flaw(`${name} is not a model of the contract`)
  if (found.length > 1) throw flaw(`${name} is a model of several schemas of the contract`)
  const { nullable = true, type } = model.fields[field] ?? {}
  const column = model.storage.fields[field]?.column
  if (column === undefined || nullable || !/^pg\/int[48]@/.test(type?.codecId ?? '')) {
    throw flaw(`${name} has no field '${field}' that is a required Int or BigInt`)
  }
  return { model: { table: model.storage.table, schema: model.storage.namespaceId }, version: { column } }
}

const flaw = (message: string) => new ConfigurationError([{ path: 'model', message }])
