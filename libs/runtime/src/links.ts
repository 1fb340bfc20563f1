/** The channels of one slice: to and from every slice of the job, for every edge between two stages. */
import { asWeirError, type Subtask } from '@weir/model'
import {
  LocalChannel,
  RemoteInput,
  RemoteOutput,
  type ChannelOptions,
  type InputChannel,
  type OutputChannel,
} from './channel.ts'
import type { LinkId, PeerAddress } from './ports.ts'
import type { SliceScope } from './slice-scope.ts'

export interface SliceChannels {
  /** By receiving stage; within one, edge by edge in the order of its inputs. */
  readonly inputs: ReadonlyMap<number, readonly InputChannel[]>
  /** By receiving stage and subtask. */
  readonly outputs: ReadonlyMap<number, readonly OutputChannel[]>
}

/** Resolves when all are open. A link that breaks later fails the slice. */
export async function openChannels(scope: SliceScope, peers: readonly PeerAddress[]): Promise<SliceChannels> {
  const { deps, options } = scope
  const { stages } = options.plan
  const link = (from: Subtask, to: Subtask, stage: number): LinkId => {
    return { jobId: options.jobId, attempt: options.attempt, from, to, stage }
  }
  const optionsOf = (stage: number): ChannelOptions => ({ overtaking: options.plan.unaligned?.stages[stage] ?? false })
  const broken = (error: Error): void => scope.fail(asWeirError(error, 'EXCHANGE_BROKEN'))
  const inputs = new Map<number, InputChannel[]>()
  const local = new Map<number, LocalChannel>()
  const opening: Promise<void>[] = []
  for (const stage of stages) {
    if (stage.inputs.length > 0) inputs.set(stage.index, [])
  }
  for (const stage of stages) {
    for (const from of stage.inputs) {
      const channels = inputs.get(stage.index)!
      for (const peer of peers) {
        const slot = channels.length
        if (peer.subtask === options.subtask) {
          const channel = new LocalChannel(() => scope.wakeOf(from).notify(), optionsOf(stage.index))
          local.set(stage.index, channel)
          channels.push(channel)
          continue
        }
        channels.push(null as unknown as InputChannel)
        const id = link(peer.subtask, options.subtask, stage.index)
        opening.push(
          deps.exchange.accept(id, peer, scope.signal).then((inbound) => {
            inbound.onBroken(broken)
            channels[slot] = new RemoteInput(inbound, optionsOf(stage.index))
          }),
        )
      }
    }
  }
  const outputs = new Map<number, OutputChannel[]>()
  for (const stage of stages) {
    for (const output of stage.outputs) {
      const channels: OutputChannel[] = []
      outputs.set(output.stage, channels)
      for (const peer of peers) {
        if (peer.subtask === options.subtask) {
          channels[peer.subtask] = local.get(output.stage)!
          continue
        }
        const id = link(options.subtask, peer.subtask, output.stage)
        opening.push(
          deps.exchange.connect(id, peer, scope.signal).then((outbound) => {
            outbound.onBroken(broken)
            const onRoom = (): void => scope.wakeOf(stage.index).notify()
            channels[peer.subtask] = new RemoteOutput(outbound, onRoom, optionsOf(output.stage))
          }),
        )
      }
    }
  }
  await Promise.all(opening)
  return { inputs, outputs }
}
