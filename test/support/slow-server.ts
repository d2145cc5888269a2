// A server that ENGINE_URL names may be slow, such as a cluster on one small machine: calls there have more time, unless a
// test gives them a deadline.
import { DEFAULT_POLICY } from '../../src/retry/policy.js'

const DEADLINE = 30_000

if (process.env.ENGINE_URL) Object.assign(DEFAULT_POLICY, { deadline: DEADLINE })
