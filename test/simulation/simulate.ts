/** One seed: a cluster, a job, faults, and the verdict. */
import type { Head, Manifest, ManifestRef } from '@weir/checkpoint'
import type { PreparedHandle } from '@weir/dataflow'
import { Fencing, InOrder, NoDuplicate, NoLoss, StuckReader, broken } from '../checkers/index.ts'
import { Onlooker, sinksOf } from './along.ts'
import { climateOf } from './climate.ts'
import { RESTORED } from './etcd.ts'
import { Faults } from './faults.ts'
import { Fleet } from './fleet.ts'
import { OUT, jobOf, outputsOf, placeOf, recordAt, topicsOf, type Sum } from './job.ts'
import { LATE_FENCE, sizeOf, type TransactionRecord } from './kafka.ts'
import { Rescales } from './rescales.ts'
import { World } from './world.ts'

export interface SimulationResult {
  readonly seed: number
  /** One line per broken rule; empty: everything held. */
  readonly violations: readonly string[]
  /** SHA-256 over everything that happened. */
  readonly hash: string
  readonly events: number
  readonly simulatedMs: number
  readonly epochs: number
  readonly restarts: number
  /** Restarts of some slices while the others went on. */
  readonly regionRestarts: number
  /** Attempts at another parallelism than the one before. */
  readonly rescaled: number
  /** Published epochs that are cut at an event time. */
  readonly cuts: number
  /** Bounds of event time that subtasks were told. */
  readonly aligned: number
  readonly healed: number
  readonly climate: string
  readonly faults: Readonly<Record<string, number>>
  readonly trace: readonly string[]
}

/** What a failure prints. */
export const replay = (seed: number): string => `npm run sim -- --seeds 1 --from ${seed} --trace`

/** A job that has not ended by then is stuck: far above every time-out together. */
const DEADLINE_MS = 600_000
/** After the end: what still lives gets the time to do harm. */
const AFTERMATH_MS = 10_000

export async function simulate(seed: number, options: { trace?: boolean } = {}): Promise<SimulationResult> {
  const world = new World(seed, options.trace ?? false)
  const climate = climateOf(seed)
  const { shape, partitions, rescaleEveryMs, ...weather } = climate
  const { records } = climate
  world.trace(JSON.stringify(weather))
  const { plan, graphHash } = jobOf(climate.settings, climate.recordsPerSecond, 'heal', shape, climate.alignWithinMs)
  const fleet = new Fleet(world, plan, graphHash, { managers: 2, workers: 3 })
  const faults = new Faults(fleet, climate)
  const { kafka } = fleet
  kafka.firstEpoch = climate.firstProducerEpoch
  for (const topic of topicsOf(shape)) kafka.createTopic(topic, partitions)
  kafka.createTopic(OUT, 3)
  for (let id = 0; id < records; id++) {
    const { key } = recordAt(id)
    const value = Buffer.from(JSON.stringify(recordAt(id)))
    const { topic, partition } = placeOf(id, shape, partitions)
    kafka.feed(topic, partition, [{ key: Buffer.from(key), value, timestamp: 1_750_000_000_000 + id }])
  }
  if (rescaleEveryMs > 0) new Rescales(fleet, climate)
  const onlooker = new Onlooker(fleet)
  kafka.onCommit = (transaction) => {
    permitted(fleet, transaction)
    onlooker.commit(transaction)
  }
  const died = (error: unknown): void => world.found('Unhandled', (error as Error).stack ?? String(error))
  process.on('unhandledRejection', died)
  try {
    let endedAt: number | null = null
    await world.run(DEADLINE_MS, () => {
      if (endedAt === null && faults.over && fleet.jobRecord().ended !== null) endedAt = world.now
      return endedAt !== null && world.now >= endedAt + AFTERMATH_MS
    })
  } finally {
    process.off('unhandledRejection', died)
  }
  judge(fleet, outputsOf(records, shape))
  const published = fleet.etcd.history.filter(({ key }) => key.includes('/heads/'))
  return {
    seed,
    violations: world.findings,
    hash: world.traceHash(),
    events: world.events,
    simulatedMs: Math.round(world.now),
    epochs: published.length,
    restarts: new Set(published.map((p) => attemptOf(p.value))).size,
    regionRestarts: fleet.regionRestarts,
    rescaled: fleet.rescaled,
    cuts: fleet.cuts,
    aligned: fleet.aligned,
    healed: fleet.healed,
    climate: climate.name,
    faults: Object.fromEntries([...faults.counts].sort()),
    trace: world.traceLines,
  }
}

const attemptOf = (value: string): string => {
  const { generation, attempt } = JSON.parse(value) as ManifestRef
  return `${generation}-${attempt}`
}

// ---- the verdict ----------------------------------------------------------------------------------------------------

function judge(fleet: Fleet, outputs: readonly number[]): void {
  const { world, kafka } = fleet
  const { ended } = fleet.jobRecord()
  if (ended?.state !== 'FINISHED') {
    const error = ended === null ? 'not ended' : `${ended.state}: ${JSON.stringify(ended.error)}`
    world.found('Liveness', `the job did not finish: ${error}`)
  }
  const ids = new Set(outputs.map((id) => `record ${id}`))
  const [noLoss, noDuplicate, inOrder, fencing, stuck] = [
    new NoLoss(ids),
    new NoDuplicate(ids),
    new InOrder(),
    new Fencing(),
    new StuckReader(),
  ]
  const sums = new Map<string, number>()
  for (let p = 0; p < kafka.partitionCount(OUT); p++) {
    stuck.saw(`${OUT}-${p}`, BigInt(kafka.stableOffset(OUT, p)), BigInt(kafka.endOffset(OUT, p)))
    for (const batch of kafka.batches(OUT, p, 0, false)) {
      const partition = `${OUT}-${p}`
      fencing.accepted({ act: 'append', partition, producerId: String(batch.pid), producerEpoch: batch.epoch })
      if (batch.records === null || kafka.isAborted(OUT, p, batch)) continue
      if (batch.offset + sizeOf(batch) > kafka.stableOffset(OUT, p)) continue
      for (const { value } of batch.records) {
        const { key, count, sum, id } = JSON.parse(value!.toString('utf8')) as Sum
        noLoss.saw(`record ${id}`)
        noDuplicate.saw(`record ${id}`)
        inOrder.saw(key, count)
        const expected = (sums.get(key) ?? 0) + id
        if (sum !== expected) world.found('State', `${key}: the sum behind record ${id} is ${sum}, not ${expected}`)
        sums.set(key, expected)
      }
    }
  }
  const publish = (arbiter: string, ref: ManifestRef): void => {
    const { epoch, generation, digest } = ref
    fencing.accepted({ act: 'publish', arbiter, jobId: 'sums', epoch, generation, manifest: digest })
  }
  let etcd = 'etcd'
  const inS3 = new Set(fleet.s3.heads.map(({ body }) => (JSON.parse(body) as Head).manifest?.digest))
  const lastRestore = fleet.etcd.history.findLastIndex(({ key }) => key === RESTORED)
  for (const [i, { key, value }] of fleet.etcd.history.entries()) {
    if (key === RESTORED) etcd += "'" // an earlier state, by an act of its owner: a register of its own
    if (!key.includes('/heads/')) continue
    const ref = JSON.parse(value) as ManifestRef
    // What only an etcd had that was then restored may have been lost with it: it was never published.
    if (i < lastRestore && !inS3.has(ref.digest)) continue
    publish(etcd, ref)
  }
  for (const { body } of fleet.s3.heads) {
    const { manifest } = JSON.parse(body) as Head
    if (manifest !== null) publish('s3', manifest)
  }
  for (const text of abortedByUs(fleet)) world.found('Abort', text)
  for (const open of kafka.openTransactions()) {
    world.found('StuckReader', `${open.transactionalId} ${open.pid}/${open.epoch} is still open`)
  }
  for (const found of broken(noLoss, noDuplicate, inOrder, fencing, stuck)) world.findings.push(found)
}

/**
 * A transaction with output may be committed only when a manifest names it that head.json has taken; or when it is
 * the healing of such a one that the broker has aborted.
 */
function permitted(fleet: Fleet, transaction: TransactionRecord): void {
  if (transaction.records === 0) return
  const { transactionalId, pid, epoch, marks } = transaction
  const handles = publishedHandles(fleet)
  const named = handles.some((h) => h.transactionalId === transactionalId && h.pid === pid && h.epoch === epoch)
  if (named) return
  const heals = handles.find(
    (h) =>
      marks.some((m) => m.group === h.group && m.offset === h.sequence) &&
      fleet.kafka.transactions.some((t) => t.pid === h.pid && t.epoch === h.epoch && t.outcome === 'abort'),
  )
  if (heals !== undefined) {
    fleet.healed++
    return
  }
  fleet.world.found('Permit', `${transactionalId} ${pid}/${epoch} was committed and no published epoch names it`)
}

/**
 * Nobody but the broker's clock aborts what is published (PROTOCOL A2, A3, C8); behind a transaction that is lost, the
 * fence may, since it is healed in order. Healing would hide it from the reader.
 */
function abortedByUs(fleet: Fleet): string[] {
  const outcomes = new Map(fleet.kafka.transactions.map((t) => [`${t.pid}/${t.epoch}`, t]))
  const found = new Set<string>()
  for (const handle of publishedHandles(fleet)) {
    const transaction = outcomes.get(`${handle.pid}/${handle.epoch}`)
    if (transaction?.outcome !== 'abort' || BY_NOBODY.has(transaction.why)) continue
    const lost = handle.before.some((h) => outcomes.get(`${h.pid}/${h.epoch}`)?.outcome === 'abort')
    if (!lost)
      found.add(
        `${handle.transactionalId} ${handle.pid}/${handle.epoch} (${handle.group} ${handle.sequence}) is published and was aborted: ${transaction.why}`,
      )
  }
  return [...found]
}

/** Not by a decision: time, or a request from before the transaction. */
const BY_NOBODY: ReadonlySet<string> = new Set(['expired', LATE_FENCE])

interface PublishedHandle {
  readonly group: string
  readonly sequence: number
  readonly transactionalId: string
  readonly pid: number
  readonly epoch: number
  /** Those in front of it in the same manifest and sink. */
  readonly before: readonly PublishedHandle[]
}
function publishedHandles(fleet: Fleet): PublishedHandle[] {
  // head.json is part of every publish; etcd is not, while it is silent (PROTOCOL A8).
  const refs = fleet.s3.heads.flatMap(({ body }) => (JSON.parse(body) as Head).manifest ?? [])
  return refs.flatMap((ref) => {
    const object = fleet.s3.get(ref.key)
    if (object === null) return []
    const manifest = JSON.parse(Buffer.from(object.bytes).toString('utf8')) as Manifest
    return manifest.subtasks.flatMap(sinksOf).flatMap(({ subtask, sinks }) =>
      Object.entries(sinks).flatMap(([uid, sink]) => {
        const handles: PublishedHandle[] = []
        for (const h of sink.handles as readonly PreparedHandle[]) {
          const group = `weir.${manifest.jobId}.${uid}.${subtask}`
          const { sequence, transactionalId, producerId, producerEpoch: epoch } = h
          handles.push({ group, sequence, transactionalId, pid: Number(producerId), epoch, before: [...handles] })
        }
        return handles
      }),
    )
  })
}
