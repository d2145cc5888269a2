import { ConfigurationError } from './configuration.js'

const MESSAGE =
  'takes no writes, so nothing was written. It is a replica, perhaps since a failover; or its transactions are read-only, ' +
  'by default_transaction_read_only or by the option readOnly of the transaction around this call. Connect to the primary.'

/** The error of a call of ours that met 25006. It is no matter of time: nothing is tried again. */
export function takesNoWrites(cause?: unknown): ConfigurationError {
  return new ConfigurationError([{ path: 'database', message: MESSAGE }], { cause })
}
