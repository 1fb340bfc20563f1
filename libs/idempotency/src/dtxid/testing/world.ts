/**
 * Several processes that share few worker ids, one etcd, one job-manager, all drawn from a seed: clocks that jump and run apart, processes
 * frozen beyond their lease, suspended with their monotonic clock, killed, restarted; requests and answers lost or late. The
 * id sources are the real ones; what is broken is said in a list.
 */
import { IdSource, type SourceEffect, type SourceEvent } from '../id-source.ts'
import { TIME_ORIGIN_MS, type IdLayout } from '../layout.ts'
import type { Holder, LeaseSettings } from '../worker-lease.ts'
import { EtcdModel } from './etcd-model.ts'

export interface WorldOptions {
  readonly seed: number
  readonly processes: number
  /** Faults end with it; then everything must work again. */
  readonly faultsMs: number
  /** The job-manager's clock jumps too: then ids are near what it said, whatever that was, and may have to wait for it. */
  readonly fleetJumps: boolean
}
export interface WorldReport {
  readonly violations: readonly string[]
  readonly ids: number
  readonly steps: number
  readonly leasesLost: number
  readonly overflows: number
}

const SEQUENCES = 8
const WORKERS = 3
/** Numbers: quicker to compare than the real forms. */
const layout: IdLayout<number> = {
  form: '63',
  sequences: SEQUENCES,
  prefix: (time, _, worker) => (time * WORKERS + worker) * SEQUENCES,
  id: (prefix, sequence) => prefix + sequence,
}
const settings: LeaseSettings & { readonly datacenter: number } = {
  ...{ datacenter: 0, workers: WORKERS },
  ...{ ttlMs: 10_000, marginMs: 1_000, markAheadMs: 10_000, retryMs: 500 },
}
const TICK_MS = 500
const TIMEOUT_MS = 2_000
const QUIET_MS = 40_000
/** Of a monotonic clock. */
const RATE_ERROR = 0.01
/** What is allowed (50), an answer's error (20), and what a clock of that rate error runs while nobody answers. */
const DRIFT_SEEN_MS_MAX = 50 + 20 + 30_000 * RATE_ERROR
const START_MS = TIME_ORIGIN_MS + 1e9
const VIOLATIONS_MAX = 5

interface Process {
  readonly name: string
  source: IdSource<number>
  /** Grows with each start: events of an earlier life are dropped. */
  life: number
  wallOffset: number
  rate: number
  /** Monotonic clock: its reading `mono` at `since`. */
  mono: number
  since: number
  /** Nothing runs before. */
  frozenUntil: number
  /** Its monotonic clock stands still until then. */
  suspendedUntil: number
  cutOffUntil: number
  /** An etcd that is full keeps leases and takes no writes. */
  unwritableUntil: number
  holder: Holder | null
  last: number
}

export function simulateDtxIds({ seed, processes: count, faultsMs, fleetJumps }: WorldOptions): WorldReport {
  const random = chance(seed)
  const between = (low: number, high: number): number => low + random() * (high - low)
  const violations: string[] = []
  const queue = new Queue()
  const etcd = new EtcdModel(settings.ttlMs)
  const issued = new Set<number>()
  const lastOfWorker = new Map<number, number>()
  let fleetOffset = 0
  let now = 0
  let steps = 0
  let lost = 0
  let overflows = 0

  const violated = (what: string): void => {
    if (violations.length < VIOLATIONS_MAX) violations.push(`${Math.round(now)} ms: ${what}`)
  }
  const wall = (p: Process): number => Math.floor(START_MS + now + p.wallOffset)
  const monotonic = (p: Process): number => p.mono + Math.max(0, now - Math.max(p.since, p.suspendedUntil)) * p.rate
  const fresh = (): IdSource<number> => new IdSource(layout, settings)

  const run = (p: Process, effects: readonly SourceEffect[]): void => {
    for (const effect of effects) perform(p, effect)
  }
  /** When the process can, if it is still the same life. */
  const whenAwake = (p: Process, life: number, act: () => void): void => {
    if (p.life !== life) return
    const until = Math.max(p.frozenUntil, p.suspendedUntil)
    if (until > now) queue.at(until + random(), () => whenAwake(p, life, act))
    else act()
  }
  const tell = (p: Process, life: number, event: () => SourceEvent): void =>
    whenAwake(p, life, () => run(p, p.source.on(event(), { wall: wall(p), monotonic: monotonic(p) })))

  /** A call: the request and its answer take their time, or are lost; late requests act all the same. */
  const call = <A>(p: Process, act: () => A, answer: (a: A) => SourceEvent, silence: () => SourceEvent): void => {
    const { life } = p
    let over = false
    const end = (event: () => SourceEvent): void => {
      if (over) return
      over = true
      tell(p, life, event)
    }
    const faulty = now < faultsMs
    const cut = (): boolean => now < p.cutOffUntil || (faulty && random() < 0.05)
    const way = (): number => (faulty && random() < 0.03 ? between(100, 6_000) : between(0.1, 8))
    if (!cut()) {
      queue.at(now + way(), () => {
        const done = act()
        if (!cut()) queue.at(now + way(), () => end(() => answer(done)))
      })
    }
    queue.at(now + TIMEOUT_MS, () => end(silence))
  }

  function perform(p: Process, effect: SourceEffect): void {
    const askedAt = monotonic(p)
    const unanswered = (what: 'list' | 'claim' | 'renew' | 'extend', of: Holder | null) => (): SourceEvent => ({
      ...{ type: 'unanswered', what, of },
      now: monotonic(p),
    })
    switch (effect.type) {
      case 'ask-time':
        return call(
          p,
          () => START_MS + now + fleetOffset,
          (fleetNow) => ({ type: 'time', answer: { sentAt: askedAt, receivedAt: monotonic(p), fleetNow } }),
          () => ({ type: 'time-unanswered' }),
        )
      case 'list':
        return call(
          p,
          () => etcd.list(now),
          (listed) => ({ type: 'listed', ...listed, draw: random(), now: monotonic(p) }),
          unanswered('list', null),
        )
      case 'claim':
        return call(
          p,
          () => etcd.claim(now, effect.worker, `${p.name}.${p.life}.${random()}`),
          (won) => {
            if (won === null) return { type: 'taken', now: monotonic(p) }
            p.holder = won.holder
            return { type: 'claimed', ...won }
          },
          unanswered('claim', null),
        )
      case 'renew':
        return call(
          p,
          () => etcd.renew(now, effect.holder),
          (kept) =>
            kept
              ? { type: 'renewed', of: effect.holder, askedAt }
              : { type: 'gone', of: effect.holder, now: monotonic(p) },
          unanswered('renew', effect.holder),
        )
      case 'extend':
        return call(
          p,
          () => (now < p.unwritableUntil ? null : etcd.extend(now, effect.holder, effect.value, effect.over)),
          (outcome): SourceEvent =>
            outcome === null
              ? unanswered('extend', effect.holder)()
              : outcome.kind === 'gone'
                ? { type: 'gone', of: effect.holder, now: monotonic(p) }
                : { type: outcome.kind, of: effect.holder, mark: outcome.mark },
          unanswered('extend', effect.holder),
        )
      case 'give-back':
        if (now >= p.cutOffUntil) queue.at(now + between(0.1, 8), () => etcd.giveBack(now, effect.holder))
    }
  }

  function issue(p: Process, wanted: number): void {
    for (let i = 0; i < wanted; i++) {
      const id = p.source.next(wall(p), monotonic(p))
      if (id === undefined) {
        if (p.source.newDoubt) run(p, p.source.doubt(monotonic(p)))
        return
      }
      const worker = Math.floor(id / SEQUENCES) % WORKERS
      if (issued.has(id)) violated(`${p.name} gives out ${id} a second time`)
      issued.add(id)
      if (id <= p.last) violated(`${p.name} goes back from ${p.last} to ${id}`)
      p.last = id
      if (id <= (lastOfWorker.get(worker) ?? -1)) violated(`worker ${worker} goes back to ${id}, by ${p.name}`)
      lastOfWorker.set(worker, id)
      if (!etcd.holds(now, p.holder)) violated(`${p.name} gives out ${id} behind its lease`)
      const time = Math.floor(id / SEQUENCES / WORKERS)
      if (time >= etcd.mark(worker)) violated(`${p.name} gives out ${id}, the mark is ${etcd.mark(worker)}`)
      const off = time - (START_MS - TIME_ORIGIN_MS + now + fleetOffset)
      if (!fleetJumps && Math.abs(off) > DRIFT_SEEN_MS_MAX)
        violated(`${p.name} gives out ${id}, ${off} ms off the fleet`)
    }
  }

  const processes = Array.from({ length: count }, (_, i): Process => ({
    ...{
      name: `p${i}`,
      source: fresh(),
      life: 0,
      wallOffset: between(-40, 40),
      rate: between(1 - RATE_ERROR, 1 + RATE_ERROR),
    },
    ...{
      mono: between(0, 1e6),
      since: 0,
      frozenUntil: 0,
      suspendedUntil: 0,
      cutOffUntil: 0,
      unwritableUntil: 0,
      holder: null,
      last: -1,
    },
  }))
  const countIn = (p: Process): void => {
    const { status } = p.source
    steps += status.compensationSteps
    lost += status.leasesLost
    overflows += status.sequenceOverflows
  }
  const restart = (p: Process): void => {
    countIn(p)
    Object.assign(p, { life: p.life + 1, source: fresh(), holder: null, last: -1, frozenUntil: 0, suspendedUntil: 0 })
    // Another machine's clock, or the same machine's.
    Object.assign(p, { mono: random() < 0.5 ? between(0, 1e6) : monotonic(p), since: now })
  }
  /** Not behind a suspension that nobody has seen yet: set back, it hides that, and then the mark alone keeps ids unique. */
  const setWall = (p: Process, byMs: number): void => {
    if (p.suspendedUntil === 0 || Math.max(p.suspendedUntil, p.frozenUntil) < now - TICK_MS) p.wallOffset += byMs
  }
  const faults: readonly ((p: Process) => void)[] = [
    (p) => setWall(p, between(-3, 3) * 3_600_000),
    (p) => setWall(p, between(-400, 400)),
    (p) => void (p.frozenUntil = now + between(10, 25_000)),
    (p) => {
      const until = now + between(10, 25_000)
      if (p.frozenUntil > now) return // as above
      Object.assign(p, { mono: monotonic(p), since: now, suspendedUntil: until })
    },
    (p) => void (p.cutOffUntil = now + between(500, 20_000)),
    (p) => void (p.unwritableUntil = now + between(500, 30_000)),
    restart,
    (p) => {
      run(p, p.source.on({ type: 'release' }, { wall: wall(p), monotonic: monotonic(p) }))
      queue.at(now + between(10, 50), () => restart(p))
    },
    () => void (fleetOffset += fleetJumps ? between(-60_000, 5_000) : 0),
  ]

  const load = (p: Process): void => {
    // Whoever comes back from a freeze is asked for ids before it hears of anything.
    if (now >= p.frozenUntil && now >= p.suspendedUntil) issue(p, random() < 0.02 ? 500 : 3)
    queue.at(Math.max(now + between(1, 60), p.frozenUntil, p.suspendedUntil), () => load(p))
  }
  const tick = (p: Process): void => {
    tell(p, p.life, () => ({ type: 'tick', now: monotonic(p) }))
    queue.at(now + TICK_MS, () => tick(p))
  }
  const fault = (): void => {
    faults[Math.floor(random() * faults.length)]!(processes[Math.floor(random() * count)]!)
    if (now < faultsMs) queue.at(now + between(100, 6_000), fault)
  }
  for (const p of processes) {
    queue.at(between(0, 100), () => tick(p))
    queue.at(between(0, 100), () => load(p))
  }
  queue.at(between(2_000, 6_000), fault)

  const end = faultsMs + QUIET_MS
  let before = processes.map(() => -1)
  queue.at(end - 5_000, () => (before = processes.map((p) => p.last)))
  for (let next = queue.next(); next !== null && next.time <= end; next = queue.next()) {
    now = next.time
    next.act()
    if (violations.length >= VIOLATIONS_MAX) break
  }
  // With a job-manager's clock that went back some wait for it: times do not.
  const silent = processes.filter((p, i) => p.last === before[i])
  if (violations.length === 0 && !fleetJumps && count - silent.length < Math.min(count, WORKERS)) {
    violated(
      `${silent.map((p) => `${p.name} (${p.source.blocked}, ${p.source.status.phase})`).join(', ')} never came back`,
    )
  }
  processes.forEach(countIn)
  return { violations, ids: issued.size, steps, leasesLost: lost, overflows }
}

/** mulberry32 */
function chance(seed: number): () => number {
  let a = seed | 0
  return () => {
    a = (a + 0x6d2b79f5) | 0
    let t = Math.imul(a ^ (a >>> 15), 1 | a)
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t
    return ((t ^ (t >>> 14)) >>> 0) / 4_294_967_296
  }
}

interface Planned {
  readonly time: number
  readonly act: () => void
}

/** What is planned, by time: a binary heap. */
class Queue {
  readonly #heap: Planned[] = []

  at(time: number, act: () => void): void {
    const heap = this.#heap
    let i = heap.push({ time, act }) - 1
    for (let up = (i - 1) >> 1; i > 0 && heap[up]!.time > time; up = (i - 1) >> 1) {
      ;[heap[i], heap[up]] = [heap[up]!, heap[i]!]
      i = up
    }
  }

  next(): Planned | null {
    const heap = this.#heap
    const first = heap[0]
    if (first === undefined) return null
    const last = heap.pop()!
    if (heap.length > 0) {
      heap[0] = last
      for (let i = 0; ;) {
        const [left, right] = [2 * i + 1, 2 * i + 2]
        let least = i
        if (left < heap.length && heap[left]!.time < heap[least]!.time) least = left
        if (right < heap.length && heap[right]!.time < heap[least]!.time) least = right
        if (least === i) break
        ;[heap[i], heap[least]] = [heap[least]!, heap[i]!]
        i = least
      }
    }
    return first
  }
}
