/**
 * `npm run bench -- checkpoint [--only store,upload,fleet]`: what checkpoints and state cost, on real servers. Of `fleet` a
 * part alone: throughput, load, moves. Every figure is a
 * ratio, or two sides, of one run, or has a goal of its own; medians of the rounds.
 */
import { parseArgs } from 'node:util'
import { fleetFigures } from './checkpoint.fleet.ts'
import { storeFigures } from './checkpoint.store.ts'
import { uploadFigures } from './checkpoint.upload.ts'
import type { Figure } from './lib/figures.ts'

const PARTS = {
  ...{ store: storeFigures, upload: uploadFigures, fleet: () => fleetFigures() },
  ...{
    throughput: () => fleetFigures(['throughput']),
    load: () => fleetFigures(['load']),
    moves: () => fleetFigures(['moves']),
  },
}
const ALL = ['store', 'upload', 'fleet']
const { values } = parseArgs({ options: { only: { type: 'string' }, json: { type: 'boolean' } } })
const wanted = values.only?.split(',') ?? ALL
const figures: Figure[] = []
for (const part of wanted) {
  const measure = PARTS[part as keyof typeof PARTS] as (() => Promise<readonly Figure[]>) | undefined
  if (measure === undefined) throw new Error(`--only ${part}: there are ${Object.keys(PARTS).join(', ')}`)
  figures.push(...(await measure()))
}
console.log(JSON.stringify({ bench: 'checkpoint', figures }))
