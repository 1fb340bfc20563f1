/** Claims of a slice: a store for each of its idempotent nodes, and the dead letters that hand theirs on. */
import {
  claimOrigin,
  originNames,
  type ClaimNames,
  type ClaimOrigin,
  type ClaimPort,
  type ClaimStore,
  type Refusal,
} from '@weir/dataflow'
import { WeirError, assert, sourceOf } from '@weir/model'
import type { SliceScope } from './slice-scope.ts'

/** By node, opened when they are first needed: another stage of the slice may claim. */
export class SliceClaims {
  readonly #stores = new Map<number, ClaimStore>()

  of(scope: SliceScope, index: number): ClaimStore {
    const known = this.#stores.get(index)
    if (known !== undefined) return known
    const node = scope.node(index)
    assert(node.kind === 'idempotent', `node ${node.uid} claims nothing`)
    const { createClaims, report } = scope.deps
    if (createClaims === undefined) throw notHere(node.uid)
    const store = createClaims(node, scope.contextOf(node.uid), (news) =>
      report({ type: 'claims', operator: node.uid, news }),
    )
    this.#stores.set(index, store)
    return store
  }

  async close(): Promise<void> {
    await Promise.allSettled([...this.#stores.values()].map((store) => store.close()))
  }
}

export const claimPortOf = (scope: SliceScope, index: number): ClaimPort => ({
  store: scope.claims.of(scope, index),
  attempt: scope.options.attempt,
  names: namesOf(scope, index),
  traced: (batch) => scope.traces?.claiming(scope.node(index).uid, batch) ?? null,
})

/**
 * Before their dead letters can be committed: whoever finds one of those must find its claim handed on. Of other attempts nothing
 * counts, so it is no matter if this one's dead letters never are.
 */
export async function handOnClaims(scope: SliceScope, refusals: readonly Refusal[]): Promise<void> {
  const { handsOn } = scope.options.plan.deadLetters!
  const origins = new Map<number, string[]>()
  for (const refusal of refusals) {
    for (const index of handsOn[nodeOf(scope, refusal)]!) {
      const origin = claimOrigin(namesOf(scope, index))(batchOf(refusal), 0)
      if (origin === null) continue
      const known = origins.get(index)
      if (known === undefined) origins.set(index, [origin])
      else known.push(origin)
    }
  }
  const { attempt } = scope.options
  await Promise.all([...origins].map(([index, of]) => scope.claims.of(scope, index).dead(of, attempt, scope.signal)))
}

const nodeOf = ({ options }: SliceScope, { operatorUid }: Refusal): number =>
  options.plan.job.graph.nodes.findIndex(({ uid }) => uid === operatorUid)

function namesOf(scope: SliceScope, index: number): ClaimNames {
  const { jobId, plan } = scope.options
  return {
    ...{ jobId, uid: scope.node(index).uid, window: plan.claimed.get(index) ?? null },
    names: originNames(plan.job.graph.nodes),
    logId: (place) => {
      const run = scope.stages.find(({ stage }) => stage.head === sourceOf(place))
      return run?.source?.logId ?? null
    },
  }
}

const batchOf = ({ key, timestamp, origin }: Refusal): Parameters<ClaimOrigin>[0] => ({
  keys: key === null ? null : [key],
  timestamps: [timestamp ?? 0],
  origins:
    origin === null
      ? undefined
      : {
          places: [origin.place],
          offsets: [origin.offset],
          ordinals: origin.ordinal === null ? null : [origin.ordinal],
        },
})

const notHere = (operatorUid: string): WeirError =>
  new WeirError(
    { code: 'CLAIMS_NOT_HERE', kind: 'invalid', operatorUid },
    `idempotent "${operatorUid}" keeps its claims in a store outside, and there is none here. Use store: 'state', or run the job in a fleet.`,
  )
