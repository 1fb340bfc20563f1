/** A scenario may be measured in parts (`--only`, `--add`): what was found before counts, if it was of the same code and amount. */
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import type { Bench, Outcome } from './bench.ts'

const FOLDER = new URL('../../../.weir/peers/outcomes/', import.meta.url)

export interface Part {
  readonly section: string
  /** Versions and amount: parts of others are none of this one. */
  readonly of: string
  /** By contender; without those that have no run. */
  readonly outcomes: Readonly<Record<string, readonly Outcome<object>[]>>
}

const fileOf = (section: string): URL => new URL(`${section.replaceAll(/[^a-z0-9]+/g, '-')}.json`, FOLDER)

/** For the parts that follow. */
export function keepPart(part: Part): void {
  mkdirSync(FOLDER, { recursive: true })
  writeFileSync(fileOf(part.section), JSON.stringify(part))
}

/** @param add the runs before these, too */
export function partOf(section: string, of: string, found: Bench['outcomes'], add: boolean): Part {
  const earlier = add ? kept(section) : null
  const before = earlier?.of === of ? earlier.outcomes : {}
  const all = [...found].map(([name, runs]) => [name, [...(before[name] ?? []), ...runs]] as const)
  return { section, of, outcomes: Object.fromEntries(all.filter(([, runs]) => runs.length > 0)) }
}

function kept(section: string): Part | null {
  try {
    return JSON.parse(readFileSync(fileOf(section), 'utf8')) as Part
  } catch {
    return null
  }
}
