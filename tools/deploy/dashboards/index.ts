/** Dashboards as code: `npm run generate` writes deploy/helm/weir/dashboards from these; a test holds the files to them. */
import type { Dashboard } from '@grafana/grafana-foundation-sdk/dashboard'
import { checkpoint } from './checkpoint.ts'
import { exactlyOnce } from './exactly-once.ts'
import { fleet } from './fleet.ts'
import { job } from './job.ts'
import { traces } from './traces.ts'

/** File name without its ending → dashboard. */
export const dashboards: ReadonlyMap<string, Dashboard> = new Map(
  [fleet, job, checkpoint, exactlyOnce, traces].map((builder) => {
    const built = builder.build()
    return [built.uid!.replace('weir-', ''), built]
  }),
)

export const text = (dashboard: Dashboard): string => `${JSON.stringify(dashboard, null, 2)}\n`
