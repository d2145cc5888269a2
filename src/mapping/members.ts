import { ConfigurationError } from '../errors/index.js'

/** A member of a client that an extension adds, such as `$stock`, and the models whose rows it writes. */
export interface Member {
  readonly name: string
  readonly models: readonly string[]
}

/** @throws ConfigurationError if the client has a member of that name already: the other one would not be seen any more */
export function checkName(client: object, name: string): void {
  if (!(name in client)) return
  const message = `the client has ${name} already: give this ledger another name, stock({ name: … })`
  throw new ConfigurationError([{ path: 'name', message }])
}

/**
 * A row that two of the extensions wrote would be written past the rules of one of them: SQL of
 * their own is seen by no hook. So each of them has models of its own, and so has each ledger.
 *
 * @throws ConfigurationError if another member has one of the models already
 */
export function checkModels(own: Member, others: readonly Member[]): void {
  for (const { name, models } of others) {
    const shared = name !== own.name && models.find((model) => own.models.includes(model))
    if (!shared) continue
    const message = `${shared} is written by ${name} already, and ${own.name} would write it past what that keeps right. Give it a model of its own`
    throw new ConfigurationError([{ path: '', message }])
  }
}
