/** A query as a job: the events, for some the side input, and one topic of results. */
import { job, json, kafka, type Flow, type Settings, type Stream } from '@weir/sdk'
import { OUT_OF_ORDER_MS, type Event, type Side } from './model.ts'

export interface Inputs {
  readonly events: Stream<Event>
  /** Read to its end. */
  side(): Stream<Side>
}
export type Query = (inputs: Inputs) => Stream<unknown>

export interface NexmarkOptions {
  readonly settings?: Settings
  readonly topics?: { readonly events: string; readonly side: string; readonly results: string }
  /** Reads the events up to the end they had at the start. */
  readonly bounded?: boolean
  readonly recordsPerSecond?: number
}

export function nexmark(name: string, query: Query, options: NexmarkOptions = {}): ReturnType<typeof job> {
  const { settings = {}, topics = { events: 'events', side: 'side', results: 'results' }, recordsPerSecond } = options
  return job(name, settings, (flow: Flow) => {
    const until = options.bounded ? 'latest' : 'none'
    const timestamp = (event: Event): number => event.ts
    const value = json<Event>()
    const events = flow.from(
      kafka.topic(topics.events, { value, timestamp, outOfOrderMs: OUT_OF_ORDER_MS, until, recordsPerSecond }),
      'events',
    )
    const side = (): Stream<Side> =>
      flow.from(kafka.topic(topics.side, { value: json<Side>(), until: 'latest' }), 'side')
    query({ events, side }).to(kafka.sink(topics.results), 'results')
  })
}
