/** What a bench says: one JSON object in its last line, each figure with the goal it has to reach, if any. */
export interface Figure {
  readonly name: string
  readonly value: number
  readonly goal: number | null
  readonly holds: boolean
}

export const figure = (name: string, value: number, goal: number | null = null, holds = true): Figure => ({
  name,
  value: Number(value.toPrecision(4)),
  goal,
  holds,
})
export const atMost = (name: string, value: number, goal: number): Figure => figure(name, value, goal, value <= goal)
export const atLeast = (name: string, value: number, goal: number): Figure => figure(name, value, goal, value >= goal)

export function median(of: readonly number[]): number {
  const sorted = of.toSorted((a, b) => a - b)
  const middle = Math.floor(sorted.length / 2)
  return sorted.length % 2 === 1 ? sorted[middle]! : (sorted[middle - 1]! + sorted[middle]!) / 2
}

/** For people, while it runs. */
export const say = (text: string): void => console.error(text)
