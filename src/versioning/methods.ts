import * as z from 'zod/mini'
import type { Row } from '../engine/session.js'
import { InvalidArgumentError } from '../errors/index.js'
import type { ModelContext } from '../prisma/client.js'
import { type Selection, selectionOf } from '../prisma/selection.js'
import { scopeOf } from '../prisma/session.js'
import type { OwnClients } from '../prisma/whole-client.js'
import { callOptions, patienceOf } from '../retry/call-options.js'
import type { ResolvedPolicy } from '../retry/policy.js'
import type { Catalogue } from '../sql/catalogue.js'
import { patient } from '../transactions/bounds.js'
import { serialized } from '../transactions/records-in-turn.js'
import { checkArguments, checkNames, isRecord } from '../values/validation.js'
import { checkedData, expectedVersion, requiredVersion, rowOf, type Where } from './arguments.js'
import { DELETE_CALLS, deleteOnce } from './delete.js'
import { RowKeys } from './row-keys.js'
import { plainRow, Together } from './together.js'
import { type Change, type Outcome, UPDATE_CALLS, updateByFunction, updateOnce } from './update.js'
import { updateMany, type Verdict } from './update-many.js'
import type { VersionedModel, VersionedModels } from './versioned-models.js'

type Args = Selection & { readonly where?: unknown; readonly data?: unknown; retry?: unknown; signal?: unknown }

const updateManyOptions = z.strictObject({
  ...callOptions,
  mode: z.optional(z.enum(['all', 'each'], "must be 'all' or 'each'")),
})

/** What the statement of `updateManyVersioned` does, by the names of Prisma's calls. */
const STATEMENT_STANDS_FOR = ['update', 'updateMany', 'updateManyAndReturn', 'findUniqueOrThrow'] as const

/** The model methods, as they are called: checks the arguments, then hands them to the feature. */
export class VersionedMethods {
  readonly #versions: VersionedModels
  readonly #policy: ResolvedPolicy
  readonly #own: OwnClients
  readonly #together: Together
  readonly #catalogue: Catalogue
  readonly #rowKeys: RowKeys

  constructor(own: OwnClients, versions: VersionedModels, policy: ResolvedPolicy, catalogue: Catalogue) {
    this.#own = own
    this.#catalogue = catalogue
    this.#rowKeys = new RowKeys(catalogue)
    this.#together = new Together(catalogue)
    this.#versions = versions
    this.#policy = policy
  }

  async update(context: ModelContext, args: unknown): Promise<Row> {
    const outcome = await this.#update(context, checkArgs(args, ARGUMENTS), false)
    if ('record' in outcome) return outcome.record
    throw outcome.error
  }

  async tryUpdate(context: ModelContext, args: unknown) {
    const outcome = await this.#update(context, checkArgs(args, ARGUMENTS), true)
    switch (outcome.status) {
      case 'stale': {
        const { status, expected, actual, current } = outcome
        return { status, expected, actual, current }
      }
      case 'missing':
        return { status: outcome.status }
      default:
        return outcome
    }
  }

  async delete(context: ModelContext, args: unknown): Promise<Row> {
    const checked = checkArgs(args, ARGUMENTS_OF_DELETE)
    const versioned = this.#versions.require(context.$name)
    const expected = requiredVersion(checked.where, versioned)
    const target = this.#target(checked, versioned, onlyVersion(versioned))
    const scope = scopeOf(context, this.#own)
    return serialized(scope, target.deadline, DELETE_CALLS, (turn) =>
      patient(turn, target.deadline, DELETE_CALLS, () => deleteOnce(turn, target, expected)),
    )
  }

  async updateMany(context: ModelContext, entries: unknown, options: unknown): Promise<Verdict[]> {
    if (!Array.isArray(entries))
      throw new InvalidArgumentError('updateManyVersioned', 'takes an array of { where, data }.')
    const { mode = 'all', ...patience } = checkArguments(updateManyOptions, options ?? {})
    const versioned = this.#versions.require(context.$name)
    const scope = scopeOf(context, this.#own)
    const isObserved = scope.foreign(...STATEMENT_STANDS_FOR) !== undefined
    const call = { versioned, mode, isObserved, ...patienceOf(this.#policy, patience) }
    return serialized(scope, call.deadline, UPDATE_CALLS, (turn) =>
      patient(turn, call.deadline, UPDATE_CALLS, () => updateMany(turn, call, entries, this.#catalogue, this.#rowKeys)),
    )
  }

  async #update(context: ModelContext, args: Args, wantsCurrent: boolean): Promise<Outcome> {
    const versioned = this.#versions.require(context.$name)
    const isFunction = typeof args.data === 'function'
    const expected = isFunction ? expectedVersion(args.where, versioned) : requiredVersion(args.where, versioned)
    const target = this.#target(args, versioned, wantsCurrent ? selectionOf(args) : onlyVersion(versioned))
    const scope = scopeOf(context, this.#own)
    const calls = isFunction ? (['update', 'findUniqueOrThrow'] as const) : (['update'] as const)
    const plain =
      !scope.inTransaction && scope.canBypassPrisma(...calls)
        ? plainRow(target.row, target.selection, versioned.model)
        : undefined
    const dataOf = (given: unknown) => {
      const data = checkedData(given, versioned)
      if (plain) scope.checkWrite('update', data, 'data')
      return data
    }
    const update = { ...target, plain, dataOf, together: this.#together }
    if (isFunction) return updateByFunction(scope, update, expected, args.data as Change)
    return updateOnce(scope, update, expected as number | bigint, dataOf(args.data))
  }

  #target(args: Args, versioned: VersionedModel, currentSelection: Selection) {
    return {
      versioned,
      row: rowOf(args.where as Where, versioned),
      catalogue: this.#catalogue,
      rowKeys: this.#rowKeys,
      selection: selectionOf(args),
      currentSelection,
      ...patienceOf(this.#policy, args),
    }
  }
}

const ARGUMENTS_OF_DELETE = ['where', 'select', 'include', 'omit', 'retry', 'signal']
const ARGUMENTS = [...ARGUMENTS_OF_DELETE, 'data']

function checkArgs(args: unknown, names: readonly string[]): Args {
  if (!isRecord(args)) throw new InvalidArgumentError('arguments', 'must be an object.')
  checkNames(args, names)
  return args
}

function onlyVersion({ version }: VersionedModel): Selection {
  return { select: { [version.name]: true } }
}
