/** A job-manager process: the real election, stores, Term and FleetServer. It campaigns, leads, campaigns again. */
import { EtcdElection, EtcdHeadRegister, EtcdJobStore, ArbitratedCheckpointStore, jobObjects } from '@weir/metadata'
import type { Generation, JobId } from '@weir/model'
import { FLEET_DEFAULTS, FleetServer } from '@weir/wire'
import { Term } from '../../apps/job-manager/src/term.ts'
import { etcdClientOf } from './etcd.ts'
import type { Fleet } from './fleet.ts'
import { SimObjectStore } from './objects.ts'
import { Chance, type Process } from './world.ts'

/** As in apps/job-manager. */
const CAMPAIGN_PAUSE_MS = 300
const LEASE_SECONDS = 2
export const CLUSTER = 'sim'

export class JobManagerProcess {
  readonly process: Process
  readonly fleetServer: FleetServer
  readonly #fleet: Fleet
  readonly #jitter: Chance
  #term: Term | null = null

  constructor(fleet: Fleet, process: Process) {
    this.process = process
    this.#fleet = fleet
    const { world } = fleet
    this.#jitter = new Chance(world.seed, 5)
    this.fleetServer = new FleetServer(FLEET_DEFAULTS, {
      clock: process.clock,
      standing: () =>
        Promise.resolve(
          this.#term === null
            ? { leading: false as const, leaderAddress: '' }
            : { leading: true as const, generation: this.#term.generation as Generation },
        ),
      events: {
        joined: (info) => this.#term?.joined(info),
        report: (from, report) => {
          if (report.type !== 'progress') world.trace(`${process.name} ← ${from} ${report.type}`)
          this.#term?.report(from, report)
        },
        lost: (id, reason) => {
          world.trace(`${process.name} lost ${id}: ${reason}`)
          this.#term?.lost(id, reason)
        },
        draining: (id) => this.#term?.draining(id),
        alive: (id, slices) => this.#term?.alive(id, slices),
      },
    })
    process.run(() => void this.#lead().catch((error: unknown) => fleet.crashed(process, error)))
  }

  get leading(): boolean {
    return this.#term !== null
  }

  /** As a user asks for it: nobody hears of a refusal but who asked. */
  cancel(jobId: JobId): void {
    this.process.run(() => void this.#term?.changes.cancel(jobId).catch(() => undefined))
  }

  rescale(jobId: JobId, parallelism: number): void {
    this.process.run(() => void this.#term?.changes.rescale(jobId, parallelism).catch(() => undefined))
  }

  async #lead(): Promise<void> {
    const { network, s3, etcd, world, random } = this.#fleet
    const { process } = this
    const { clock } = process
    const never = new AbortController().signal
    const client = etcdClientOf(process, network, etcd)
    const objects = new SimObjectStore(process, network, s3)
    const election = new EtcdElection(
      client,
      objects,
      { cluster: CLUSTER, ttlSeconds: LEASE_SECONDS, conditionalObjects: true },
      clock,
    )
    const self = { grpcAddress: process.host, restAddress: process.host }
    for (;;) {
      const leadership = await election.campaign(self, never)
      world.trace(`${process.name} leads as g${leadership.generation}`)
      const scope = { client, cluster: CLUSTER, term: leadership.term }
      const register = new EtcdHeadRegister(scope)
      this.#term = new Term({
        leadership,
        fleet: this.fleetServer,
        clock,
        random: this.#jitter,
        log: { debug: () => {}, info: () => {}, warn: () => {} } as never,
        metrics: {
          observe: (channel: string, message: Readonly<Record<string, unknown>>) => {
            if (channel === 'weir:checkpoint:published' && message['cut'] !== undefined) this.#fleet.cuts++
            if (channel === 'weir:job:region-restarted') this.#fleet.regionRestarts++
            if (channel === 'weir:job:rescaled') this.#fleet.rescaled++
            if (channel === 'weir:checkpoint:final') this.#fleet.onFinal(Number(message['epoch']))
            world.trace(`${process.name} g${leadership.generation} ${channel} ${JSON.stringify(message)}`)
          },
        },
        stores: {
          jobs: new EtcdJobStore(scope),
          objects,
          ...jobObjects({ objects, clock, signal: leadership.signal }),
          checkpoints: (jobId, arbiter) =>
            new ArbitratedCheckpointStore(jobId, leadership.generation, arbiter, { objects, register, random }),
        },
      })
      const reason = await this.#term.run()
      world.trace(`${process.name} leads no more: ${reason}`)
      this.#term = null
      this.fleetServer.closeAll('')
      await clock.sleep(CAMPAIGN_PAUSE_MS)
    }
  }
}
