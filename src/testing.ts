export {
  type BodyName,
  BrokenOrder,
  type OrderStep,
} from './testing/broken-order.js'
export { type CuttingProxy, cuttingProxy, type Fate, type Interception } from './testing/cutting-proxy.js'
export { type FakeClock, type FakeClockOptions, fakeClock } from './testing/fake-clock.js'
export { type Gate, gate } from './testing/gate.js'
export { type HeldRow, holdRow } from './testing/hold-row.js'
export {
  assertInterleaved,
  type InterleaveOptions,
  type InterleaveResults,
  type Interleaving,
  interleave,
} from './testing/interleave.js'
export { type BlockedSession, type UntilBlockedOptions, untilBlocked } from './testing/until-blocked.js'
