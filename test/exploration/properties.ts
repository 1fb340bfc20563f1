/** What must hold. A broken property ends the search with the shortest way to it. */
import type { ManifestRef } from '@weir/checkpoint'
import type { Ending } from '@weir/job'
import type { Epoch } from '@weir/model'
import { isOpen } from './kafka.ts'
import { breakWorld, manifestOf, positionIn, type World } from './world.ts'

// ---- told by the machines' drivers ----------------------------------------------------------------------------------

/** A register holds `ref`: from now on a claim finds it. One manifest per epoch, each the successor of the last. */
export function published(world: World, ref: ManifestRef): void {
  const last = world.published
  if (last?.digest === ref.digest) return
  if (last && ref.epoch <= last.epoch) {
    if (ref.epoch === last.epoch) breakWorld(world, `two manifests are published for epoch ${ref.epoch}`)
    return
  }
  const manifest = manifestOf(world, ref)
  if (manifest === null) return breakWorld(world, `epoch ${ref.epoch} is published and its manifest is not stored`)
  if (ref.parentEpoch !== (last?.epoch ?? 0) || manifest.parentDigest !== (last?.digest ?? null))
    breakWorld(world, `fork: epoch ${ref.epoch} continues ${ref.parentEpoch}, published is ${last?.epoch ?? 0}`)
  world.published = ref
}

/** A claim has chosen what to restore. */
export function recovered(world: World, ref: ManifestRef | null): void {
  const [chosen, highest] = [ref?.epoch ?? 0, world.published?.epoch ?? 0]
  if (chosen !== highest) breakWorld(world, `recovery chose epoch ${chosen}, published is ${highest}`)
}

/** A job machine calls an epoch final: everything in it is visible. */
export function finalReached(world: World, ref: ManifestRef | null, final: Epoch): void {
  if (ref?.epoch !== final) return breakWorld(world, `epoch ${final} is final, published is ${ref?.epoch ?? 0}`)
  const missing = missingFrom(world, ref)
  if (missing !== null) breakWorld(world, `epoch ${final} is called final, but ${missing} is not visible`)
}

/** The end is recorded: nobody will act on the job again. */
export function ended(world: World, { state, error }: Ending): void {
  if (state === 'FAILED') return breakWorld(world, `the job failed: ${error?.code}, ${error?.message}`)
  const missing = missingFrom(world, world.published)
  if (missing !== null) breakWorld(world, `the job ended ${state}, but ${missing} is not visible`)
  if (state === 'FINISHED') {
    const manifest = world.published && manifestOf(world, world.published)
    const short = world.kafka.findIndex((_, k) => positionIn(manifest, k) !== world.chunks)
    if (short >= 0) breakWorld(world, `the job is FINISHED and sink${short} has not seen all input`)
  }
}

// ---- of every state -------------------------------------------------------------------------------------------------

/** Every chunk visible at most once, none before an earlier one, none that is not published; no register below the truth. */
export function broken(world: World): string | null {
  const highest = world.published?.epoch ?? 0
  const held = Math.max(world.register.manifest?.epoch ?? 0, world.mirror.head?.manifest?.epoch ?? 0)
  if (held < highest) return `the arbiters hold epoch ${held}, ${highest} was published`
  const manifest = world.published && manifestOf(world, world.published)
  for (const [k, { log }] of world.kafka.entries()) {
    const limit = positionIn(manifest, k)
    let top = 0
    const before = new Set<number>()
    for (const { chunk, status } of log) {
      if (status === 'abort') continue
      if (status === 'commit') {
        if (chunk > limit) return `sink${k} shows chunk ${chunk}, published are ${limit}`
        if (chunk <= top) return `sink${k} shows chunk ${chunk} twice or out of order`
        for (let c = top + 1; c < chunk; c++)
          if (!before.has(c)) return `sink${k} shows chunk ${chunk} without chunk ${c} before it`
        top = chunk
      }
      before.add(chunk)
    }
  }
  return null
}

/** In a state that only a fault can leave: the job has ended and no reader is held up. */
export function unfinished(world: World): string | null {
  if (world.ended === null) return 'nothing can move, and the job has not ended'
  for (const [k, kafka] of world.kafka.entries()) {
    const open = kafka.ids.findIndex((_, id) => isOpen(kafka, id))
    if (open >= 0) return `the job has ended, and sink${k}.id${open} keeps a transaction open`
  }
  return null
}

function missingFrom(world: World, ref: ManifestRef | null): string | null {
  const manifest = ref && manifestOf(world, ref)
  for (const [k, { log }] of world.kafka.entries()) {
    for (let chunk = 1; chunk <= positionIn(manifest, k); chunk++) {
      if (!log.some((record) => record.chunk === chunk && record.status === 'commit'))
        return `chunk ${chunk} of sink${k}`
    }
  }
  return null
}
