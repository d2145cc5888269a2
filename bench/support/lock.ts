/**
 * The common part of the contenders with a lock outside the row: how long it is held and waited
 * for, and the work that is done under it, by Prisma and with no guard but the lock. No fencing token either: a row
 * that compares one is guarded by a version, with or without a lock.
 */
import { setTimeout as sleep } from 'node:timers/promises'
import type { Environment, Rows, Session } from '../contender.js'
import { findNextSerial, takeSerial } from './next-serial.js'
import { PATIENCE } from './patience.js'
import { createPrisma, hasCode } from './prisma-client.js'
import { rowsOf } from './prisma-rows.js'

/** In ms: after so long without a word from its holder, a lock is another's. The README of Redlock has it so, too. */
export const LEASE = 5_000
/**
 * In ms: a caller that can only ask again whether a lock is free does so after 10 to 30 ms. Among 16 callers
 * one of them then asks every ms or so; asking more often takes time from the holder.
 */
export const ASK_AGAIN = { least: 10, spread: 20 }

/** A holder's knowledge of its lock. */
export interface Hold {
  /** Throws if the holder knows that its lock is gone. Asked right before each write, as a careful user does. */
  check(): void
}

/** Runs the body while nobody else holds the key, and resolves to how often the lock was asked for again. */
export type WithLock = (key: string, body: (hold: Hold) => Promise<void>) => Promise<number>

/** For those whose lock cannot be lost while the process runs, or that cannot know of it. */
export const UNKNOWING: Hold = { check: () => {} }

export class LockLost extends Error {
  override readonly name = 'LockLost'
  constructor() {
    super('The lock was lost before the write.')
  }
}

export class LockNotFree extends Error {
  override readonly name = 'LockNotFree'
  constructor() {
    super(`The lock was not free within ${PATIENCE} ms.`)
  }
}

/** The holder of a lease that it does not renew looks at its own clock: the lease began no earlier than it was asked for. */
export function leaseHold(askedAt: number): Hold {
  return {
    check() {
      if (performance.now() >= askedAt + LEASE) throw new LockLost()
    },
  }
}

/** Asks until it is given something. The retries are how often it was given nothing. */
export async function askUntilGiven<T>(ask: () => Promise<T | undefined>): Promise<{ given: T; retries: number }> {
  const deadline = performance.now() + PATIENCE
  for (let retries = 0; ; retries++) {
    const given = await ask()
    if (given !== undefined) return { given, retries }
    const pause = ASK_AGAIN.least + Math.random() * ASK_AGAIN.spread
    if (performance.now() + pause > deadline) throw new LockNotFree()
    await sleep(pause)
  }
}

/** A name for the key that no other run of the bench uses: the servers of the locks live longer than a run. */
export function lockName({ databaseUrl }: Environment, key: string): string {
  return `${new URL(databaseUrl).pathname.slice(1)}-${key}`
}

/** The operations that every lock can do; each contender names these. */
export const LOCK_OPERATIONS = ['readChangeWrite', 'critical', 'move', 'takeSerial'] as const

/** The work under a lock. The rows are read and written on Prisma's own pool, each statement for itself. */
export function lockSession(env: Environment, withLock: WithLock, closeLocks: () => Promise<void>): Session {
  const db = createPrisma(env)
  const pool = rowsOf(db)
  const rowsUnder = (hold: Hold): Rows => ({
    read: pool.read,
    write: (itemId, stock) => {
      hold.check()
      return pool.write(itemId, stock)
    },
  })
  const critical = async (key: string, body: (rows: Rows) => Promise<void>) => ({
    retries: await withLock(key, (hold) => body(rowsUnder(hold))),
  })
  const move = async (transactionId: string, itemId: number, quantity: number) => {
    let refused = false
    const retries = await withLock(`item-${itemId}`, async (hold) => {
      const stock = await pool.read(itemId)
      refused = stock + quantity < 0
      if (refused) return
      hold.check()
      await db
        .$transaction([
          db.movement.create({ data: { transactionId, itemId, quantity } }),
          db.item.update({ where: { id: itemId }, data: { stock: stock + quantity } }),
        ])
        .catch((error: unknown) => {
          if (!hasCode(error, 'P2002')) throw error // it was moved before
        })
    })
    return { retries, refused }
  }
  return {
    readChangeWrite: (itemId) =>
      critical(`item-${itemId}`, async (rows) => rows.write(itemId, (await rows.read(itemId)) + 1)),
    critical,
    move,
    async takeSerial(transactionId, itemId) {
      let refused = false
      const retries = await withLock(`serials-${itemId}`, async (hold) => {
        const next = await findNextSerial(db, transactionId, itemId)
        refused = next === undefined
        if (typeof next !== 'number') return
        hold.check()
        await takeSerial(db, next, transactionId)
      })
      return { retries, refused }
    },
    async close() {
      await closeLocks()
      await db.$disconnect()
    },
  }
}
