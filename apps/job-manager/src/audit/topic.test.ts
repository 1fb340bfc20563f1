/** The audit log on its way into a topic, over the real file: order, what a crash repeats, and what happens when no broker takes it. */
import { WeirError, type TopicRecord } from '@weir/model'
import { systemClock, systemRandom } from '@weir/runtime/system'
import { appendFile, mkdtemp, readFile, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, expect, test } from 'vitest'
import { Audit } from './audit.ts'
import type { AuditEntry } from './entry.ts'
import { AuditFile } from './file.ts'
import { AuditTopic } from './topic.ts'

const WAITING_BYTES_MAX = 8 << 20
const FEW_BYTES = 2_000
/** Pauses that can be cut short pass at once, in turns of their own. */
const sleep = (ms: number, signal?: AbortSignal): Promise<void> =>
  signal === undefined ? systemClock.sleep(ms) : new Promise((resolve) => setImmediate(resolve))
const clock = { ...systemClock, sleep }
const log = { info: () => undefined, warn: () => undefined }

/** A topic that takes, or refuses while it is `away`. */
class Broker {
  away = false
  asked = 0
  readonly taken: TopicRecord[] = []
  append(_: string, records: readonly TopicRecord[]): Promise<void> {
    this.asked++
    if (this.away) return Promise.reject(new WeirError({ code: 'LOG_AWAY', kind: 'retry' }, 'nobody there'))
    this.taken.push(...records)
    return Promise.resolve()
  }
  close(): Promise<void> {
    return Promise.resolve()
  }
  get targets(): string[] {
    return this.taken
      .map(({ value }) => JSON.parse(Buffer.from(value!).toString()) as AuditEntry)
      .filter(({ step }) => step === 'done')
      .map(({ target }) => target)
  }
}

const ends: (() => Promise<void>)[] = []
afterEach(async () => {
  for (const end of ends.splice(0)) await end()
})

async function opened(path: string, broker: Broker, waitingBytesMax = WAITING_BYTES_MAX) {
  const file = await AuditFile.open(path, false)
  const options = { path, topic: 'audit', key: 'jm-0:7070', waitingBytesMax }
  const topic = await AuditTopic.open(options, { topics: broker, clock, log })
  const audit = new Audit({ file, topic, log: log as never, clock: systemClock, random: systemRandom })
  let isOpen = true
  const close = async (): Promise<void> => {
    if (isOpen) await audit.close()
    isOpen = false
  }
  ends.push(close)
  const change = (target: string): Promise<void> => {
    const who = { name: 'oidc:anna', role: 'operator' as const }
    return audit.change({ who, from: '', what: 'job.cancel', target, facts: () => undefined }, () => Promise.resolve())
  }
  return { change, topic, close }
}
const path = async (): Promise<string> => join(await mkdtemp(join(tmpdir(), 'weir-audit-')), 'audit.ndjson')

test('entries come into the topic in their order, with the key of this job-manager and their time', async () => {
  const broker = new Broker()
  const { change } = await opened(await path(), broker)
  const targets = Array.from({ length: 50 }, (_, n) => String(n))
  for (const target of targets) await change(target)
  await expect.poll(() => broker.targets).toEqual(targets)
  const [first] = broker.taken
  expect(Buffer.from(first!.key!).toString()).toBe('jm-0:7070')
  expect(first!.timestamp).toBeGreaterThan(0)
})

test('a broker that is away costs no change and no entry, until the bound: then nothing is changed', async () => {
  const broker = new Broker()
  broker.away = true
  const { change, topic } = await opened(await path(), broker, FEW_BYTES)
  const made: string[] = []
  let refused: unknown = null
  while (refused === null) {
    const target = String(made.length)
    await change(target).then(
      () => made.push(target),
      (error: unknown) => (refused = error),
    )
  }
  expect(refused).toMatchObject({ code: 'AUDIT_BEHIND', kind: 'retry', facts: { topic: 'audit' } })
  expect(made.length).toBeGreaterThan(2)
  expect(topic.waitingBytes).toBeGreaterThanOrEqual(FEW_BYTES)
  broker.away = false
  await expect.poll(() => topic.waitingBytes).toBe(0)
  await change('behind')
  await expect.poll(() => broker.targets).toEqual([...made, 'behind'])
})

test('what was not sent by one process is sent by the next one, and no entry that was', async () => {
  const at = await path()
  const broker = new Broker()
  const first = await opened(at, broker)
  await first.change('sent')
  await expect.poll(() => first.topic.waitingBytes).toBe(0)
  broker.away = true
  await first.change('kept')
  await expect.poll(() => broker.asked).toBeGreaterThan(2)
  await first.close()
  await appendFile(at, '{"id":"ha')
  broker.away = false
  const second = await opened(at, broker)
  await second.change('new')
  await expect.poll(() => broker.targets).toEqual(['sent', 'kept', 'new'])
})

test('a process that ends does not wait for a broker that says nothing', async () => {
  const broker = new Broker()
  const { change, topic, close } = await opened(await path(), broker)
  broker.append = () => new Promise(() => undefined)
  await change('a')
  await close()
  expect(topic.waitingBytes).toBeGreaterThan(0)
})

test('a process that dies between the broker and its mark sends again, and nothing is left out', async () => {
  const at = await path()
  const broker = new Broker()
  const first = await opened(at, broker)
  await first.change('a')
  await expect.poll(() => first.topic.waitingBytes).toBe(0)
  await first.close()
  await writeFile(`${at}.sent`, '0')
  const second = await opened(at, broker)
  await second.change('b')
  await expect.poll(() => broker.targets).toEqual(['a', 'a', 'b'])
})

test('another file in the place of the one before is sent from its beginning', async () => {
  const at = await path()
  const broker = new Broker()
  const first = await opened(at, broker)
  for (const target of ['a', 'b', 'c']) await first.change(target)
  await expect.poll(() => first.topic.waitingBytes).toBe(0)
  await first.close()
  await writeFile(at, '')
  const second = await opened(at, broker)
  await second.change('d')
  await expect.poll(() => broker.targets).toEqual(['a', 'b', 'c', 'd'])
})

test('an entry that is longer than a batch goes alone', async () => {
  const broker = new Broker()
  const at = await path()
  const { change } = await opened(at, broker)
  await change('x'.repeat(300 << 10))
  await change('y')
  await expect.poll(() => broker.targets.map((target) => target.length)).toEqual([300 << 10, 1])
  expect((await readFile(at, 'utf8')).length).toBeGreaterThan(600 << 10)
})
