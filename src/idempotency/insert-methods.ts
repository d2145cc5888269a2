import type { DataModel, Model } from '../engine/data-model.js'
import type { CallersTransaction, RootRecords } from '../engine/records.js'
import { InvalidArgumentError } from '../errors/index.js'
import type { CallEvents } from '../events/call-events.js'
import { type Events, observed } from '../events/events.js'
import { patienceOf } from '../retry/call-options.js'
import type { ResolvedPolicy } from '../retry/policy.js'
import type { Catalogue } from '../sql/catalogue.js'
import { rawReadable } from '../sql/raw-record.js'
import { selectedFields, selectionOf, selectsRelations, widened } from '../values/selection.js'
import { checkNames, isRecord } from '../values/validation.js'
import { InsertBatches } from './batch.js'
import { type Comparison, comparedFields, readMatch } from './compare.js'
import { fieldFingerprints, fingerprintFields } from './fingerprint.js'
import { type InsertCall, type InsertResult, insertOnce } from './insert.js'
import { checkNestedWrites } from './nested-writes.js'
import type { IdempotencyOptions } from './options.js'
import { readPayload } from './payload.js'

/** The parts of the extension that once-only inserts need. */
export interface InsertSetup {
  readonly catalogue: Catalogue
  readonly dataModel: DataModel
  readonly policy: ResolvedPolicy
  readonly settings: IdempotencyOptions
  /** Goes into the data of a nested write, so that it does not bump the model's version. */
  readonly keepVersion: (model: string) => Readonly<Record<string, unknown>>
  readonly events: Events | undefined
}

const ARGUMENTS = ['where', 'data', 'match', 'select', 'include', 'omit', 'retry', 'signal']

/** The calls of Prisma that write a row with its children, one after the other. */
const WRITES = ['create', 'createManyAndReturn', 'update'] as const

/** Once-only inserts, as they are called: they check the arguments. */
export class InsertMethods {
  readonly #setup: InsertSetup
  readonly #fingerprints: ReadonlyMap<string, string>
  readonly #batches = new InsertBatches()

  constructor(setup: InsertSetup) {
    this.#setup = setup
    this.#fingerprints = fingerprintFields(setup.dataModel, setup.settings)
  }

  /** `createIdempotent` */
  create(session: RootRecords | CallersTransaction, args: unknown): Promise<InsertResult> {
    return observed(this.#setup.events, 'createIdempotent', session.model, (events) =>
      this.#create(session, args, events),
    )
  }

  async #create(
    session: RootRecords | CallersTransaction,
    args: unknown,
    events: CallEvents | undefined,
  ): Promise<InsertResult> {
    if (!isRecord(args)) throw new InvalidArgumentError('arguments', 'must be an object.')
    checkNames(args, ARGUMENTS)
    const { where, data, match, retry, signal } = args
    const { catalogue, dataModel, policy, keepVersion } = this.#setup
    const model = dataModel.get(session.model) as Model
    const payload = readPayload(model, where, data)
    const comparison = {
      match: readMatch(match, model, payload),
      fingerprint: this.#fingerprint(model, payload.data),
    }
    const selection = selectionOf(args)
    const isSingle = !payload.hasChildren && !selectsRelations(selection, model)
    const { keyFields } = payload
    const keyNames = keyFields.map(({ name }) => name)
    const wide = widened(selection, [...keyNames, ...comparedFields(comparison)], model)
    const selected = isSingle ? selectedFields(wide.selection, model) : keyFields
    const canFind = isSingle && session.canBypassPrisma('findUniqueOrThrow')
    const canInsert = session.canBypassPrisma('createManyAndReturn') && rawReadable(model) !== undefined
    const call: InsertCall = {
      catalogue,
      model,
      payload,
      comparison,
      selection,
      wide,
      direct: canInsert && selected ? { model, keyFields, selected, canFind } : undefined,
      isSingle,
      isObserved: session.foreign(...WRITES) !== undefined,
      keepVersion: keepVersion(model.name),
      ...patienceOf(policy, { retry, signal }),
    }
    events?.begin(call.deadline, payload.key)
    // Another extension may change the data, which only Prisma can check then.
    if (!call.isSingle && !call.isObserved) checkNestedWrites(payload, model, dataModel)
    // By the names that Prisma's call would have. The claim of a row with children may be a statement of our own, too.
    if (isSingle || call.direct) session.checkWrite('create', [{ ...payload.scalars, ...payload.key }], 'data')
    call.deadline.signal?.throwIfAborted()
    return !session.inTransaction && isSingle ? this.#batches.add(session, call) : insertOnce(session, call)
  }

  #fingerprint(model: Model, data: Readonly<Record<string, unknown>>): Comparison['fingerprint'] {
    const field = this.#fingerprints.get(model.name)
    if (field === undefined || data[field] !== undefined) return undefined
    return { field, compute: () => fieldFingerprints(model, data) }
  }
}
