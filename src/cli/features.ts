import type { FeatureSetup } from '../engine/setup.js'
import type { InboxMap } from '../inbox/mapping.js'
import type { JobMap } from '../jobs/mapping.js'
import type { LeaseMap } from '../leases/mapping.js'
import type { OutboxMap } from '../outbox/mapping.js'
import type { SerialsMap } from '../serials/mapping.js'
import type { SeriesMap } from '../series/mapping.js'
import type { StepsMap } from '../steps/mapping.js'
import type { StockMap } from '../stock/mapping.js'

/** The features of a client, by the names that tell what their maps are. */

export const isStock = (feature: FeatureSetup): feature is FeatureSetup & { readonly map: StockMap } =>
  feature.name === 'stock'

export const isLeases = (feature: FeatureSetup): feature is FeatureSetup & { readonly map: LeaseMap } =>
  feature.name === 'leases'

export const isJobs = (feature: FeatureSetup): feature is FeatureSetup & { readonly map: JobMap } =>
  feature.name === 'jobs'

export const isOutbox = (feature: FeatureSetup): feature is FeatureSetup & { readonly map: OutboxMap } =>
  feature.name === 'outbox'

export const isInbox = (feature: FeatureSetup): feature is FeatureSetup & { readonly map: InboxMap } =>
  feature.name === 'inbox'

export const isSteps = (feature: FeatureSetup): feature is FeatureSetup & { readonly map: StepsMap } =>
  feature.name === 'steps'

export const isSerials = (feature: FeatureSetup): feature is FeatureSetup & { readonly map: SerialsMap } =>
  feature.name === 'serials'

export const isSeries = (feature: FeatureSetup): feature is FeatureSetup & { readonly map: SeriesMap } =>
  feature.name === 'series'
