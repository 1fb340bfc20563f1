/** The queries of a dashboard to Prometheus, and what they are while nobody has chosen anything. */
import type { Dashboard } from '@grafana/grafana-foundation-sdk/dashboard'

export interface PanelQuery {
  readonly panel: string
  readonly expr: string
}

interface Target {
  readonly datasource: { readonly type: string }
  readonly expr: string
}

export function queries(dashboard: Dashboard): readonly PanelQuery[] {
  return (dashboard.panels ?? []).flatMap((panel) =>
    panel.type === 'row' || !('targets' in panel)
      ? []
      : (panel.targets as unknown as readonly Target[]).flatMap(({ datasource, expr }) =>
          datasource.type === 'prometheus' ? [{ panel: `${dashboard.title}: ${panel.title}`, expr }] : [],
        ),
  )
}

/** With all jobs chosen, as Prometheus gets it. */
export const resolved = (expr: string): string => expr.replaceAll('$__rate_interval', '1m').replaceAll('$job', '.+')
