/** The channels of one slice, for every edge between two stages: to and from every slice of the job, or to itself alone. */
import { asWeirError, type Subtask } from '@weir/model'
import {
  LocalChannel,
  RemoteInput,
  RemoteOutput,
  type ChannelOptions,
  type InputChannel,
  type OutputChannel,
} from './channel.ts'
import type { Route } from '@weir/dataflow'
import type { LinkId, PeerAddress } from './ports.ts'
import type { SliceScope } from './slice-scope.ts'

export interface SliceChannels {
  /** By receiving stage; within one, edge by edge in the order of its inputs. */
  readonly inputs: ReadonlyMap<number, readonly InputChannel[]>
  /** By sending stage and output; within one, by receiving subtask. */
  readonly outputs: readonly (readonly (readonly OutputChannel[])[])[]
}

/** Slices at the other end of an edge, in the order of its channels. */
export const endsOf = (
  route: Route,
  own: Subtask,
  peers: readonly PeerAddress[],
): readonly Pick<PeerAddress, 'subtask'>[] => (route === 'forward' ? [{ subtask: own }] : peers)

/** Resolves when all are open. A link that breaks later fails the slice. */
export async function openChannels(scope: SliceScope, peers: readonly PeerAddress[]): Promise<SliceChannels> {
  const { deps, options } = scope
  const { stages } = options.plan
  const linkId = (from: Subtask, to: Subtask, stage: number, input: number): LinkId => {
    return { jobId: options.jobId, attempt: options.attempt, from, to, stage, input }
  }
  const optionsOf = (stage: number): ChannelOptions => ({ overtaking: options.plan.unaligned?.stages[stage] ?? false })
  const broken = (error: Error): void => scope.fail(asWeirError(error, 'EXCHANGE_BROKEN'))
  const inputs = new Map<number, InputChannel[]>()
  const local = new Map<string, LocalChannel>()
  const localOf = (stage: number, input: number): string => `${stage}/${input}`
  const others = peers.filter(({ subtask }) => subtask !== options.subtask)
  const opening: Promise<void>[] = []
  for (const { index, inputs: from } of stages) {
    const channels: InputChannel[] = []
    const count = from.reduce((sum, { route }) => sum + endsOf(route, options.subtask, peers).length, 0)
    if (from.length > 0) inputs.set(index, channels)
    for (const [input, { stage, route }] of from.entries()) {
      for (const end of endsOf(route, options.subtask, peers)) {
        const slot = channels.length
        if (end.subtask === options.subtask) {
          const channel = new LocalChannel(() => scope.wakeOf(stage).notify(), optionsOf(index))
          local.set(localOf(index, input), channel)
          channels.push(channel)
          continue
        }
        channels.push(null as unknown as InputChannel)
        const peer = others.find(({ subtask }) => subtask === end.subtask)!
        const id = linkId(peer.subtask, options.subtask, index, input)
        opening.push(
          deps.exchange.accept(id, peer, scope.signal).then((inbound) => {
            inbound.onBroken(broken)
            channels[slot] = new RemoteInput(inbound, { ...optionsOf(index), channels: count })
          }),
        )
      }
    }
  }
  const outputs = stages.map(({ index: from, outputs: edges }) =>
    edges.map(({ stage, input }) => {
      const channels: OutputChannel[] = []
      const own = local.get(localOf(stage, input))!
      if (stages[stage]!.inputs[input]!.route === 'forward') return [own]
      channels[options.subtask] = own
      for (const peer of others) {
        const id = linkId(options.subtask, peer.subtask, stage, input)
        opening.push(
          deps.exchange.connect(id, peer, scope.signal).then((outbound) => {
            outbound.onBroken(broken)
            const onRoom = (): void => scope.wakeOf(from).notify()
            channels[peer.subtask] = new RemoteOutput(outbound, onRoom, optionsOf(stage))
          }),
        )
      }
      return channels
    }),
  )
  await Promise.all(opening)
  return { inputs, outputs }
}
