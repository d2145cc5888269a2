import type { DataModel, Field, Model } from '../engine/data-model.js'
import { ConfigurationError, type ConfigurationIssue } from '../errors/index.js'
import * as s from '../values/schema.js'
import { nameSchema } from '../values/validation.js'

/** The states of a model, and the moves between them. */
export interface TransitionOptions {
  /** The field that has the state: an enum or a String that is required. */
  readonly field: string
  /** For each state that can be left, those that a record can go to from it. */
  readonly from: Readonly<Record<string, readonly string[]>>
  /** A row of this model is inserted for each record that is moved, in the same transaction. */
  readonly history?: {
    /** It has a relation to the model of the states. */
    readonly model: string
    /** The field for the state that was left. Default `from`. */
    readonly from?: string
    /** The field for the new state. Default `to`. */
    readonly to?: string
  }
}

/** The moves that `transition` makes, by the names of the models. */
export type TransitionSettings = Readonly<Record<string, TransitionOptions>>

export const transitionSettings = s.record(
  s.strictObject({
    field: nameSchema('a field'),
    from: s.record(s.array(nameSchema('a state'))),
    history: s.optional(
      s.strictObject({
        model: nameSchema('a model'),
        from: s.optional(nameSchema('a field')),
        to: s.optional(nameSchema('a field')),
      }),
    ),
  }),
)

/** The moves of one model, found and checked. */
export interface Moves {
  readonly model: Model
  readonly field: Field
  /** By each state that can be reached: those from which it can. */
  readonly into: ReadonlyMap<string, readonly string[]>
  readonly history: MoveHistory | undefined
}

/** The model in which moves are noted. */
export interface MoveHistory {
  readonly model: Model
  readonly from: Field
  readonly to: Field
  /** Its relation to the model that moves. */
  readonly foreignKey: NonNullable<Field['foreignKey']>
}

/**
 * Finds the models, fields and states.
 *
 * @throws ConfigurationError with every mistake, each with its path
 */
export function movesOf(models: DataModel, settings: TransitionSettings): ReadonlyMap<string, Moves> {
  const issues: ConfigurationIssue[] = []
  const all = new Map<string, Moves>()
  for (const [name, options] of Object.entries(settings)) {
    const path = `transitions.${name}`
    const report = (at: string, message: string) => void issues.push({ path: `${path}${at}`, message })
    const model = models.get(name)
    const field = model?.fields.get(options.field)
    if (!model) report('', 'is not a model')
    else if (!field || !isState(field)) report('.field', `must name a required enum or String of ${name}`)
    else {
      const into = intoOf(field, options, report)
      const history = options.history && historyOf(models, { model, field }, options.history, report)
      all.set(name, { model, field, into, history })
    }
  }
  if (issues.length > 0) throw new ConfigurationError(issues)
  return all
}

type Report = (at: string, message: string) => void

function isState({ kind, type, isList, isOptional }: Field): boolean {
  return (kind === 'enum' || (kind === 'scalar' && type === 'String')) && !isList && !isOptional
}

function intoOf({ enumValues, type }: Field, { from }: TransitionOptions, report: Report) {
  const into = new Map<string, string[]>()
  const check = (state: string, at: string) => {
    if (enumValues && !enumValues.has(state)) report(at, `${state} is no value of ${type}`)
  }
  for (const [state, targets] of Object.entries(from)) {
    check(state, `.from.${state}`)
    for (const [i, target] of targets.entries()) {
      const at = `.from.${state}.${i}`
      check(target, at)
      if (target === state) report(at, 'is the state itself')
      into.set(target, [...(into.get(target) ?? []), state])
    }
  }
  if (into.size === 0) report('.from', 'has no move')
  return into
}

function historyOf(
  models: DataModel,
  { model, field }: Pick<Moves, 'model' | 'field'>,
  options: NonNullable<TransitionOptions['history']>,
  report: Report,
): MoveHistory | undefined {
  const own = models.get(options.model)
  if (!own) {
    report('.history.model', `${options.model} is not a model`)
    return undefined
  }
  const named = (part: 'from' | 'to') => {
    const name = options[part] ?? part
    const found = own.fields.get(name)
    if (found && found.type === field.type && !found.isList) return found
    report(`.history.${part}`, `${own.name} has no field ${name} of the type ${field.type}`)
    return undefined
  }
  const [from, to] = [named('from'), named('to')]
  const keys = [...own.fields.values()].flatMap(({ type, foreignKey }) =>
    type === model.name && foreignKey ? [foreignKey] : [],
  )
  const [foreignKey] = keys
  if (keys.length !== 1)
    report('.history.model', `${own.name} must have one relation to ${model.name}, and has ${keys.length}`)
  return from && to && foreignKey ? { model: own, from, to, foreignKey } : undefined
}
