/** One of Nexmark's queries on real topics; `query` says which. */
import { params } from '@weir/sdk'
import { nexmark } from '../nexmark/job.ts'
import { queries, type QueryName } from '../nexmark/queries/index.ts'

const p = params({ query: 'q4', events: 'events', side: 'side', results: 'results', rate: Number })

export default nexmark(`nexmark-${p.query}`, queries[p.query as QueryName], {
  settings: {
    parallelism: 2,
    checkpoint: { intervalMs: 300, everyRecords: null, minPauseMs: 0 },
    restart: { attempts: 10, delayMs: 200 },
  },
  topics: p,
  bounded: true,
  recordsPerSecond: p.rate,
})
