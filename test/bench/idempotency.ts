/**
 * `npm run bench -- idempotency [--only dtxid,claims,pipeline,tiers]`: what transaction ids, claims and their tiers cost. Every figure is a ratio, or two sides, of one run,
 * or has a goal of its own; medians of the rounds.
 */
import { parseArgs } from 'node:util'
import { claimFigures } from './idempotency.claims.ts'
import { dtxIdFigures } from './idempotency.dtxid.ts'
import { pipelineFigures } from './idempotency.pipeline.ts'
import { tierFigures } from './idempotency.tiers.ts'
import type { Figure } from './lib/figures.ts'

/** Each in a file of its own. */
const PARTS: Readonly<Record<string, () => Promise<readonly Figure[]>>> = {
  dtxid: dtxIdFigures,
  claims: claimFigures,
  pipeline: pipelineFigures,
  tiers: tierFigures,
}
const { values } = parseArgs({ options: { only: { type: 'string' }, json: { type: 'boolean' } } })
const figures: Figure[] = []
for (const part of values.only?.split(',') ?? Object.keys(PARTS)) {
  const measure = PARTS[part]
  if (measure === undefined) throw new Error(`--only ${part}: there are ${Object.keys(PARTS).join(', ')}`)
  figures.push(...(await measure()))
}
console.log(JSON.stringify({ bench: 'idempotency', figures }))
