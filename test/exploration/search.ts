/**
 * Breadth-first over everything that can happen within the bounds: `explore(bounds)`. States are kept as 53-bit hashes,
 * so the first counterexample is a shortest one, and its steps are found by going back through the parents.
 *
 * Liveness: of the steps that are no faults, none may lie on a cycle, and a state that only a fault can leave must be a
 * good end. So, once the faults stop, every way ends well.
 */
import { actions, conclude } from './actions.ts'
import { canonical, hash } from './canonical.ts'
import { broken, unfinished } from './properties.ts'
import { copyWorld, firstWorld, specFor, type Bounds } from './world.ts'

export interface ExploreOptions extends Bounds {
  /** Gives up beyond it; the result is then not `complete`. */
  readonly statesMax: number
  /** Leaves the liveness checks out. */
  readonly safetyOnly: boolean
  /** Only faults whose label matches: deeper with the same effort. */
  readonly faultsLike?: RegExp
  readonly progress?: (depth: number, states: number, front: number) => void
}

export interface Exploration {
  readonly states: number
  readonly steps: number
  readonly depth: number
  readonly complete: boolean
  readonly counterexample: { readonly broken: string; readonly trace: readonly string[] } | null
}

export const STATES_MAX = 6_000_000

export function explore(options: ExploreOptions): Exploration {
  const spec = specFor(options)
  const seen = new HashTable()
  const graph = new Graph()
  const first = firstWorld(options)
  seen.add(hash(canonical(first)))
  graph.root()
  let front = [{ at: 0, world: first }]
  let depth = 0
  let steps = 0
  const over = (complete: boolean, found: string | null, at = 0, ...last: string[]): Exploration => ({
    states: seen.size,
    steps,
    depth,
    complete,
    counterexample: found === null ? null : { broken: found, trace: [...graph.trace(at), ...last] },
  })
  while (front.length > 0) {
    const next: typeof front = []
    for (const { at, world } of front) {
      let moves = 0
      for (const { label, fault, apply } of actions(world, spec)) {
        if (fault && options.faultsLike?.test(label) === false) continue
        const after = copyWorld(world)
        if (fault) after.faults--
        apply(after)
        conclude(after)
        steps++
        // A step may break a property and lead to a state that was seen before.
        if (after.broken !== null) return over(false, after.broken, at, label)
        const { index: to, fresh } = seen.add(hash(canonical(after)))
        if (!fault && to !== at) {
          moves++
          if (!options.safetyOnly) graph.edge(at, to)
        }
        if (!fresh) continue
        graph.reached(to, at, label)
        const found = broken(after)
        if (found !== null) return over(false, found, to)
        next.push({ at: to, world: after })
      }
      if (moves === 0 && !options.safetyOnly) {
        const found = unfinished(world)
        if (found !== null) return over(false, found, at)
      }
      if (seen.size > options.statesMax) return over(false, null)
    }
    front = next
    depth++
    options.progress?.(depth, seen.size, front.length)
  }
  if (!options.safetyOnly) {
    const at = graph.onCycle(seen.size)
    if (at >= 0) return over(true, 'a cycle of steps without a fault: the fleet can run for ever without progress', at)
  }
  return over(true, null)
}

/** How each state was first reached, and the steps between states that are no faults. */
class Graph {
  readonly #parent: number[] = []
  readonly #via: number[] = []
  readonly #labels: string[] = []
  readonly #label = new Map<string, number>()
  readonly #from: number[] = []
  readonly #to: number[] = []

  root(): void {
    this.reached(0, -1, '')
  }

  reached(state: number, parent: number, label: string): void {
    let name = this.#label.get(label)
    if (name === undefined) {
      this.#label.set(label, (name = this.#labels.length))
      this.#labels.push(label)
    }
    this.#parent[state] = parent
    this.#via[state] = name
  }

  edge(from: number, to: number): void {
    this.#from.push(from)
    this.#to.push(to)
  }

  trace(state: number): string[] {
    const steps: string[] = []
    for (let at = state; this.#parent[at]! >= 0; at = this.#parent[at]!) steps.push(this.#labels[this.#via[at]!]!)
    return steps.reverse()
  }

  /** A state that no order of removing states without incoming steps removes (Kahn); -1 when there is none. */
  onCycle(states: number): number {
    const incoming = new Int32Array(states)
    const head = new Int32Array(states).fill(-1)
    const following = new Int32Array(this.#to.length)
    for (const [edge, to] of this.#to.entries()) {
      incoming[to]!++
      following[edge] = head[this.#from[edge]!]!
      head[this.#from[edge]!] = edge
    }
    const removed = new Int32Array(states)
    let [read, written] = [0, 0]
    for (let state = 0; state < states; state++) if (incoming[state] === 0) removed[written++] = state
    while (read < written) {
      for (let edge = head[removed[read++]!]!; edge >= 0; edge = following[edge]!) {
        if (--incoming[this.#to[edge]!]! === 0) removed[written++] = this.#to[edge]!
      }
    }
    return written < states ? incoming.findIndex((count) => count > 0) : -1
  }
}

/** Hash → index in order of insertion; open addressing. */
class HashTable {
  #keys = new Float64Array(1 << 16).fill(-1)
  #values = new Int32Array(1 << 16)
  size = 0

  add(key: number): { readonly index: number; readonly fresh: boolean } {
    if (this.size * 2 > this.#keys.length) this.#grow()
    const place = this.#place(key)
    if (this.#keys[place] === key) return { index: this.#values[place]!, fresh: false }
    this.#keys[place] = key
    this.#values[place] = this.size
    return { index: this.size++, fresh: true }
  }

  #place(key: number): number {
    const mask = this.#keys.length - 1
    let place = (key % 4_294_967_291) & mask
    while (this.#keys[place] !== -1 && this.#keys[place] !== key) place = (place + 1) & mask
    return place
  }

  #grow(): void {
    const [keys, values] = [this.#keys, this.#values]
    this.#keys = new Float64Array(keys.length * 2).fill(-1)
    this.#values = new Int32Array(keys.length * 2)
    for (const [at, key] of keys.entries()) {
      if (key === -1) continue
      const place = this.#place(key)
      this.#keys[place] = key
      this.#values[place] = values[at]!
    }
  }
}
