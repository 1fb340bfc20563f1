/** What a job of the tour is run with: parameters, and records of topics that others would write. */
import { mkdtempSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'

export interface ExampleInput {
  readonly params: Readonly<Record<string, string>>
  /** By topic. */
  readonly records: Readonly<Record<string, readonly unknown[]>>
}

const START_MS = Date.UTC(2026, 0, 1)
const ORDERS = 4_000
/** A few seconds of it. */
const GENERATED = { recordsPerSplit: '5000', rate: '4000' }

const order = (id: number): unknown => ({
  ...{ id, user: `u-${id % 37}`, amountMinor: (id * 7_919) % 10_000 },
  ...{ status: id % 10 === 3 ? 'FAILED' : 'PAID', ts: START_MS + id * 10 },
})
const orders = (): readonly unknown[] => Array.from({ length: ORDERS }, (_, id) => order(id))

export function inputOf(number: string): ExampleInput {
  switch (number) {
    case '01':
    case '03':
      // The embedded log instead of Kafka, read to its end.
      return {
        params: { server: 'log', bounded: 'true', intervalMs: '500', rate: '1000' },
        records: { orders: orders() },
      }
    case '09': {
      const folder = pathToFileURL(mkdtempSync(join(tmpdir(), 'weir-example-'))).href
      return { params: { ...GENERATED, folder: `${folder}/` }, records: {} }
    }
    default:
      return { params: GENERATED, records: {} }
  }
}
