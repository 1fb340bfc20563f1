/** What `weir doctor` asks etcd and the object store. Each writes a little beside what Weir keeps there, and removes it. */
import type { ObjectStore } from '@weir/checkpoint'
import type { EtcdFacts, ObjectsFacts } from '@weir/dataflow'
import type { Clock, Random } from '@weir/model'
import type { Etcd3 } from 'etcd3'

/** Of each: one may have met a pause. */
const TRIES = 3
const METRICS_MS_MAX = 1_000
const QUOTA = /^etcd_server_quota_backend_bytes (\S+)$/m

export interface EtcdAddress {
  readonly hosts: readonly string[]
  readonly cluster: string
}

/** Throws what the client throws. */
export async function etcdFacts(
  client: Etcd3,
  { hosts, cluster }: EtcdAddress,
  deps: { readonly clock: Clock; readonly random: Random },
): Promise<EtcdFacts> {
  const key = `/weir/${cluster}/probe/${deps.random.nonce()}`
  const timed = async (what: () => Promise<unknown>): Promise<number> => {
    const from = deps.clock.monotonic()
    await what()
    return deps.clock.monotonic() - from
  }
  await client.get(key) // the connection
  const [writes, reads]: [number[], number[]] = [[], []]
  for (let n = 0; n < TRIES; n++) {
    writes.push(await timed(() => client.put(key).value(String(n)).exec()))
    reads.push(await timed(() => client.get(key).exec()))
  }
  const [, status, alarms, members, quotaBytes] = await Promise.all([
    client.delete().key(key),
    client.maintenance.status(),
    client.maintenance.alarm({ action: 'Get' }),
    client.cluster.memberList({}),
    quotaOf(hosts),
  ])
  return {
    members: members.members.length,
    alarms: [...new Set(alarms.alarms.map(({ alarm }) => String(alarm).toUpperCase()))],
    dbBytes: Number(status.dbSize),
    quotaBytes,
    writeMs: median(writes),
    readMs: median(reads),
  }
}

/** Only its metrics tell; null: they are not served there. */
async function quotaOf(hosts: readonly string[]): Promise<number | null> {
  const [host] = hosts
  if (host === undefined) return null
  try {
    const url = host.includes('://') ? host : `http://${host}`
    const answer = await fetch(new URL('/metrics', url), { signal: AbortSignal.timeout(METRICS_MS_MAX) })
    const quota = Number(QUOTA.exec(await answer.text())?.[1])
    return quota > 0 ? quota : null
  } catch {
    return null
  }
}

/** Throws what the store throws: `OBJECT_STORE_REFUSED` (invalid), `OBJECT_STORE_UNAVAILABLE` (retry). */
export async function objectsFacts(
  objects: ObjectStore & { honoursConditions?(random: Random): Promise<boolean> },
  deps: { readonly clock: Clock; readonly random: Random },
): Promise<ObjectsFacts> {
  const key = `probe/${deps.random.nonce()}/doctor`
  const text = async (): Promise<string | null> => {
    const found = await objects.get(key)
    return found === null ? null : Buffer.from(found.bytes).toString()
  }
  const stale: string[] = []
  const writes: number[] = []
  const write = async (value: string): Promise<void> => {
    const from = deps.clock.monotonic()
    await objects.put(key, Buffer.from(value))
    writes.push(deps.clock.monotonic() - from)
  }
  // A store that remembers that something was not there, too.
  if ((await text()) !== null) stale.push('an object nobody wrote')
  await write('1')
  if ((await text()) !== '1') stale.push('a new object')
  await write('2')
  if ((await text()) !== '2') stale.push('an overwritten object')
  if (!(await objects.list(key)).includes(key)) stale.push('a list of new objects')
  await objects.delete(key)
  if ((await text()) !== null) stale.push('a deleted object')
  if ((await objects.list(key)).includes(key)) stale.push('a list of deleted objects')
  // A folder of one machine has them by the lock it is made with.
  const conditions = (await objects.honoursConditions?.(deps.random)) ?? true
  return { conditions, stale, writeMs: median(writes) }
}

function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b)
  return sorted[Math.floor(sorted.length / 2)]!
}
