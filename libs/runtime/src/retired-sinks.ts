/**
 * Sinks of subtasks that the job had when it was wider (PROTOCOL B4). Their transactional ids are still the job's: what is
 * prepared under them is ended, and a zombie of such a subtask fenced, by every recovery. They never write.
 */
import type { RetiredSinks as RetiredStates } from '@weir/checkpoint'
import type { HandleProof, SinkNode, SinkState, TwoPhaseSink } from '@weir/dataflow'
import { subtask, type Subtask } from '@weir/model'

export interface RetiredSinksDeps {
  readonly nodes: readonly SinkNode[]
  createSink(node: SinkNode, of: Subtask): TwoPhaseSink
}

interface Retired {
  readonly subtask: Subtask
  readonly uid: string
  readonly sink: TwoPhaseSink
  readonly state: SinkState
}

export class RetiredSinks {
  #all: readonly Retired[] = []
  #final = false

  /** Throws as `TwoPhaseSink.recover`. */
  async recover(
    states: RetiredStates,
    { nodes, createSink }: RetiredSinksDeps,
  ): Promise<readonly { readonly sink: string; readonly subtask: Subtask; readonly proof: HandleProof }[]> {
    this.#all = Object.entries(states).flatMap(([k, sinks]) =>
      nodes.flatMap((node) => {
        const state = sinks[node.uid] as SinkState | undefined
        const of = subtask(Number(k))
        return state ? [{ subtask: of, uid: node.uid, sink: createSink(node, of), state }] : []
      }),
    )
    const proofs = await Promise.all(
      this.#all.map(async ({ subtask, uid, sink, state }) =>
        (await sink.recover(state)).map((proof) => ({ sink: uid, subtask, proof })),
      ),
    )
    return proofs.flat()
  }

  /** What the snapshot says of them: nothing waits for its commit any more. Undefined: there are none. */
  snapshot(): RetiredStates | undefined {
    if (this.#all.length === 0) return undefined
    const states: Record<string, Record<string, SinkState>> = {}
    for (const { subtask, uid, state } of this.#all) (states[subtask] ??= {})[uid] = { ...state, handles: [] }
    return states
  }

  /** The first commit of the attempt: the epoch that names their transactions is final, and what was staged of them may go. */
  async committed(): Promise<void> {
    if (this.#final) return
    this.#final = true
    await Promise.all(this.#all.map(({ sink, state }) => sink.commit(state.sequence)))
  }

  close(mode: 'leave' | 'abort'): Promise<unknown> {
    return Promise.allSettled(this.#all.map(({ sink }) => sink.close(mode)))
  }
}
