/** The fleet's time from whichever job-manager leads. */
import { ChannelCredentials, Metadata } from '@grpc/grpc-js'
import { WeirError } from '@weir/model'
import { time } from '@weir/proto'
import type { FleetClock } from './generator.ts'

export interface JobManagerClockOptions {
  /** host:port, all of them: the one that leads answers. */
  readonly jobManagers: readonly string[]
  readonly token: string | null
  /** Absent: not encrypted. */
  readonly credentials?: ChannelCredentials
}

const CALL_TIMEOUT_MS = 1_000

export class JobManagerClock implements FleetClock {
  readonly #clients: readonly time.FleetTimeClient[]
  readonly #metadata = new Metadata()
  /** Who answered last. */
  #turn = 0

  constructor({ jobManagers, token, credentials = ChannelCredentials.createInsecure() }: JobManagerClockOptions) {
    this.#clients = jobManagers.map((at) => new time.FleetTimeClient(at, credentials))
    if (token !== null) this.#metadata.set('weir-token', token)
  }

  /** One try at one of them; the next call asks the next one. Throws `DTXID_UNAVAILABLE` (retry). */
  async now(): Promise<number> {
    const client = this.#clients[this.#turn % this.#clients.length]!
    try {
      return await new Promise<number>((resolve, reject) =>
        client.now({}, this.#metadata, { deadline: Date.now() + CALL_TIMEOUT_MS }, (error, reply) =>
          error === null ? resolve(reply.now) : reject(error),
        ),
      )
    } catch (cause) {
      this.#turn++
      throw new WeirError(
        { code: 'DTXID_UNAVAILABLE', kind: 'retry' },
        `no job-manager told the fleet's time (${(cause as Error).message}). Is one leading, and is its address right?`,
        { cause },
      )
    }
  }

  close(): void {
    for (const client of this.#clients) client.close()
  }
}
