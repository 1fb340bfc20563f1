/** Transaction ids: how near a generator comes to what its format has, by real clocks and a real etcd, and what an id costs by injected ones. */
import type { Clock } from '@weir/model'
import { systemClock, systemRandom } from '@weir/runtime/system'
// Not by the room's door: what is generated from .proto files has enums, which Node does not strip.
import { EtcdWorkerIds } from '../../libs/idempotency/src/dtxid/etcd-workers.ts'
import { dtxIds63, dtxIds68, type DtxIdDeps, type DtxIds } from '../../libs/idempotency/src/dtxid/generator.ts'
import { stackEndpoints } from '../stack/endpoints.ts'
import { atLeast, atMost, figure, median, say, type Figure } from './lib/figures.ts'

const ROUNDS = Number(process.env['BENCH_ROUNDS'] ?? 3)
const ROUND_MS = 2_000
/** The 50 ms that a generator may be ahead are used up before it is measured. */
const WARM_MS = 500
/** Within one lease by the injected clock, also of the form with the fewest ids per ms. */
const CPU_IDS = 1_000_000
/** Between two turns of the event loop, in which the lease is renewed. */
const BATCH = 2_000

const RATIO_MIN = 0.95
const CPU_NS_MAX = 200
const forms = [
  { bits: 63, perMs: 128, make: dtxIds63 as (...of: Parameters<typeof dtxIds63>) => DtxIds<bigint | string> },
  { bits: 68, perMs: 4_096, make: dtxIds68 as (...of: Parameters<typeof dtxIds68>) => DtxIds<bigint | string> },
]
type Form = (typeof forms)[number]

export async function dtxIdFigures(): Promise<readonly Figure[]> {
  const figures: Figure[] = []
  for (const form of forms) {
    const sustained: number[] = []
    const cpu: number[] = []
    for (let i = 0; i < ROUNDS; i++) {
      sustained.push(await perSecond(form))
      cpu.push(await cpuNs(form))
    }
    const [rate, ceiling] = [median(sustained), form.perMs * 1_000]
    say(`dtxid ${form.bits} bits: ${Math.round(rate)} ids/s of ${ceiling}, ${median(cpu).toFixed(0)} CPU-ns per id`)
    figures.push(
      figure(`dtxid ${form.bits} bits: ids/s of one worker, sustained`, rate),
      atLeast(`dtxid ${form.bits} bits: of the format's ceiling of ${ceiling}/s`, rate / ceiling, RATIO_MIN),
      atMost(`dtxid ${form.bits} bits: CPU-ns per id, injected clock`, median(cpu), CPU_NS_MAX),
    )
  }
  return figures
}

const TTL_MS = 10_000
const settings = { datacenter: 0, ttlMs: TTL_MS }
const deps = (clock: Clock): DtxIdDeps => ({
  ...{ clock, random: systemRandom },
  fleet: { now: () => Promise.resolve(clock.now()), close: () => undefined },
  workers: new EtcdWorkerIds({
    ...{ hosts: [stackEndpoints().etcd], cluster: `bench-${systemRandom.nonce().slice(0, 8)}` },
    ...settings,
  }),
})

/** As fast as it gives them, one by one; each is higher than the one before. */
async function perSecond({ make }: Form): Promise<number> {
  const ids = make(settings, deps(systemClock))
  let last = await ids.take()
  let count = 0
  const run = async (ms: number): Promise<number> => {
    const began = performance.now()
    count = 0
    for (const end = began + ms; performance.now() < end; await new Promise((resolve) => setImmediate(resolve))) {
      for (let i = 0; i < BATCH; i++) {
        const id = ids.tryNext()
        if (id === undefined) break
        if (id <= last) throw new Error(`${id} is not above ${last}`)
        last = id
        count++
      }
    }
    return (count / (performance.now() - began)) * 1_000
  }
  await run(WARM_MS)
  const rate = await run(ROUND_MS)
  await ids.close()
  return rate
}

/** The clock goes on when a ms is used up. */
async function cpuNs({ make, perMs }: Form): Promise<number> {
  let [wall, monotonic] = [systemClock.now(), 0]
  const ids = make(settings, deps({ ...systemClock, now: () => wall, monotonic: () => monotonic }))
  await ids.take()
  const generate = (count: number): void => {
    for (let made = 0; made < count; wall++, monotonic++) {
      for (let i = 0; i < perMs; i++, made++) {
        if (ids.tryNext() === undefined) throw new Error(`none: ${JSON.stringify(ids.status)}`)
      }
    }
  }
  generate(perMs * 100)
  const before = process.cpuUsage()
  generate(CPU_IDS)
  const { user, system } = process.cpuUsage(before)
  await ids.close()
  return ((user + system) * 1_000) / CPU_IDS
}
