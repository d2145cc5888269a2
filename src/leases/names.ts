/** The name of the user's model, unless the options give another. */
export const DEFAULT_LEASE_MODEL = 'Lease'
