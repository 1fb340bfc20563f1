/** A generator in a process of its own, for tests that freeze and kill it: a line `next` or `take` is answered by an id or a code. */
import { asWeirError } from '@weir/model'
import { systemClock, systemRandom } from '@weir/runtime/system'
import { createInterface } from 'node:readline'
import { EtcdWorkerIds } from '../etcd-workers.ts'
import { dtxIds63, type DtxIdOptions } from '../generator.ts'

const [etcd, cluster, settings] = process.argv.slice(2) as [string, string, string]
const options = JSON.parse(settings) as DtxIdOptions & { readonly ttlMs: number }
const ids = dtxIds63(options, {
  clock: systemClock,
  random: systemRandom,
  fleet: { now: () => Promise.resolve(Date.now()), close: () => undefined },
  workers: new EtcdWorkerIds({ hosts: [etcd], cluster, datacenter: options.datacenter, ttlMs: options.ttlMs }),
})
for await (const line of createInterface({ input: process.stdin })) {
  try {
    console.log(String(line === 'take' ? await ids.take(20_000) : ids.next()))
  } catch (thrown) {
    console.log(asWeirError(thrown, 'INTERNAL').code)
  }
}
