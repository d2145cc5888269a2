import type { ClientSetup } from '../engine/setup.js'
import type { Finding } from '../errors/index.js'
import { shardFaults } from '../sql/missing-key.js'
import { tableOf } from '../sql/sql.js'
import { RequiredKeys } from '../sql/unique-keys.js'
import type { DatabaseFacts } from './facts.js'

/** Features whose tables Citus keeps on shards in another way than their statements need. */
export function checkShards({ features }: ClientSetup, { tables }: DatabaseFacts): Finding[] {
  return features.flatMap(({ map }) => {
    const keys = 'keys' in map && map.keys instanceof RequiredKeys ? map.keys : undefined
    if (keys?.feature === undefined) return []
    return shardFaults(keys.feature, keys.all, ({ name }) => tables.get(name)).map(
      ({ model, what, wayOut }): Finding => ({
        severity: 'error',
        code: 'SHARDS',
        where: tableOf(model),
        what,
        cost: `${keys.feature} refuses every write. ${wayOut}`.replace(/[.;]$/, ''),
        sql: undefined,
      }),
    )
  })
}
