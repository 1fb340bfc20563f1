/**
 * Batches that a transaction sends at the same moment travel in one request per broker, as those of Kafka's own producers do: what a
 * request costs hardly depends on what is in it, and a broker takes those of one connection one after the other.
 */
import { nameOf, type Answer, type Place } from './transaction-state.ts'

/** A larger batch travels alone. */
const REQUEST_BYTES_MAX = 1 << 20

export interface OutgoingBatch {
  readonly place: Place
  readonly bytes: Buffer
}

interface Asker {
  readonly place: Place
  readonly resolve: (answer: Answer | null) => void
  readonly reject: (error: unknown) => void
}

export interface ProduceRequestsDeps {
  /** Node id of the leader, as far as it is known. */
  readonly leaderOf: (place: Place) => string
  /** Sends one request; answers are those of its batches, in their order. */
  readonly send: (nodeId: string, batches: readonly OutgoingBatch[]) => Promise<readonly Answer[]>
}

export class ProduceRequests {
  readonly #deps: ProduceRequestsDeps
  #waiting: (Asker & { readonly take: () => Buffer | null })[] = []

  constructor(deps: ProduceRequestsDeps) {
    this.#deps = deps
  }

  /**
   * Batches of one partition leave in the order of the calls. Rejects when there is no answer.
   * @param take is called at the last moment. Null, and so is the answer: it is not to be sent any more.
   */
  send(place: Place, take: () => Buffer | null): Promise<Answer | null> {
    return new Promise((resolve, reject) => {
      if (this.#waiting.push({ place, take, resolve, reject }) === 1) queueMicrotask(() => this.#sendAll())
    })
  }

  #sendAll(): void {
    const going: (Asker & OutgoingBatch)[] = []
    for (const { take, ...asker } of this.#waiting.splice(0)) {
      const bytes = take()
      if (bytes === null) asker.resolve(null)
      else going.push({ ...asker, bytes })
    }
    try {
      for (const { nodeId, batches } of requestsOf(going, this.#deps.leaderOf)) {
        this.#deps.send(nodeId, batches).then(
          (answers) => batches.forEach(({ resolve }, i) => resolve(answers[i]!)),
          (error: unknown) => batches.forEach(({ reject }) => reject(error)),
        )
      }
    } catch (error) {
      for (const { reject } of going) reject(error) // nobody knows who leads
    }
  }
}

/** In order; a request has one batch of a partition. */
export function requestsOf<B extends OutgoingBatch>(
  going: readonly B[],
  leaderOf: (place: Place) => string,
): readonly { readonly nodeId: string; readonly batches: readonly B[] }[] {
  const requests: { readonly nodeId: string; readonly batches: B[]; readonly places: Set<string>; bytes: number }[] = []
  const newest = new Map<string, (typeof requests)[number]>()
  for (const batch of going) {
    const nodeId = leaderOf(batch.place)
    const name = nameOf(batch.place)
    let request = newest.get(nodeId)
    const fits = request && !request.places.has(name) && request.bytes + batch.bytes.length <= REQUEST_BYTES_MAX
    if (request === undefined || !fits) {
      request = { nodeId, batches: [], places: new Set(), bytes: 0 }
      newest.set(nodeId, request)
      requests.push(request)
    }
    request.batches.push(batch)
    request.places.add(name)
    request.bytes += batch.bytes.length
  }
  return requests
}
