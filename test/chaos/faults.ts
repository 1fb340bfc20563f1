/** What can be done to a fleet; `World.heal` brings all back. */
import type { Toxic } from '../e2e/toxic.ts'
import type { FleetProcess } from '../../apps/cli/src/fleet.ts'
import type { PrivateServer } from '../stack/private-server.ts'
import type { Fault } from './plan.ts'
import type { World } from './world.ts'

export interface Injected {
  /** Who was hit, for people. */
  readonly victim: string
  /** Proxies that must stay shut until the healing. */
  readonly parted: readonly Toxic[]
}
type Inject = (world: World, pick: number) => Promise<Injected>

const someTaskManager = (world: World, pick: number) =>
  world.taskManagers[Math.floor(pick * world.taskManagers.length)]!
const hit = (...victims: readonly { process: FleetProcess }[]): Injected => ({
  victim: victims.map((v) => `pid ${v.process.child.pid}`).join(', '),
  parted: [],
})

/** What is kept back of a dead server's is lost with its connections. */
const killServer =
  (which: (world: World) => PrivateServer): Inject =>
  async (world) => {
    await which(world).kill()
    return { victim: which(world).name, parted: [] }
  }

export const INJECT: Readonly<Record<Fault, Inject>> = {
  async 'kill-task-manager'(world, pick) {
    const victim = someTaskManager(world, pick)
    await world.kill(victim.process)
    return hit(victim)
  },
  async 'kill-job-manager'(world) {
    const victim = await world.leader()
    await world.kill(victim.process)
    return hit(victim)
  },
  async 'kill-fleet'(world) {
    const all = [...world.jobManagers, ...world.taskManagers]
    await Promise.all(all.map((p) => world.kill(p.process)))
    return hit(...all)
  },
  async 'freeze-task-manager'(world, pick) {
    const victim = someTaskManager(world, pick)
    victim.process.child.kill('SIGSTOP')
    return hit(victim)
  },
  async 'freeze-job-manager'(world) {
    const victim = await world.leader()
    victim.process.child.kill('SIGSTOP')
    return hit(victim)
  },
  async 'part-task-manager'(world, pick) {
    const victim = someTaskManager(world, pick)
    const id = await world.idOf(victim)
    for (const toxic of world.control) toxic.part(id)
    return { victim: id, parted: world.control }
  },
  /** From etcd only: it still reaches S3 and its task-managers, and another one may win the election. */
  async 'part-job-manager'(world) {
    const victim = await world.leader()
    victim.etcd.part()
    return { ...hit(victim), parted: [victim.etcd] }
  },
  'restart-kafka': killServer((world) => world.kafka),
  'restart-etcd': killServer((world) => world.etcd),
  'restart-s3': killServer((world) => world.s3),
}
