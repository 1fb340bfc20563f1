/** A real Prometheus that asks processes for their metrics every second; `npm run check:deploy` builds one from its Go module. */
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { freePorts } from '../../tools/stack/servers.mjs'
import { Daemon } from './daemon.ts'

export interface PrometheusOptions {
  /** host:port of who has `/metrics`. */
  readonly targets: readonly string[]
  /** Of one group, as in a file of rules. */
  readonly rules: readonly object[]
  /** host:port */
  readonly alertmanager: string
}

export interface FiringAlert {
  readonly labels: Readonly<Record<string, string>>
}

const EVERY = '1s'

export class Prometheus {
  readonly #daemon: Daemon
  readonly #folder: string

  private constructor(daemon: Daemon, folder: string) {
    this.#daemon = daemon
    this.#folder = folder
  }

  static async start(program: string, { targets, rules, alertmanager }: PrometheusOptions): Promise<Prometheus> {
    const folder = await mkdtemp(join(tmpdir(), 'weir-prometheus-'))
    await writeFile(join(folder, 'rules.yml'), JSON.stringify({ groups: [{ name: 'weir', interval: EVERY, rules }] }))
    const config = {
      global: { scrape_interval: EVERY, scrape_timeout: EVERY, evaluation_interval: EVERY },
      rule_files: [join(folder, 'rules.yml')],
      // As the chart's ServiceMonitor has it: `job` is a job of Weir, not of Prometheus.
      scrape_configs: [{ job_name: 'weir', honor_labels: true, static_configs: [{ targets }] }],
      alerting: { alertmanagers: [{ static_configs: [{ targets: [alertmanager] }] }] },
    }
    await writeFile(join(folder, 'prometheus.yml'), JSON.stringify(config))
    const [port] = await freePorts(1)
    const args = [`--config.file=${join(folder, 'prometheus.yml')}`, `--storage.tsdb.path=${join(folder, 'data')}`]
    const address = `127.0.0.1:${port}`
    const daemon = await Daemon.start(program, [...args, `--web.listen-address=${address}`], address)
    return new Prometheus(daemon, folder)
  }

  async firing(): Promise<readonly FiringAlert[]> {
    const { alerts } = (await this.#get('alerts')) as { alerts: (FiringAlert & { state: string })[] }
    return alerts.filter(({ state }) => state === 'firing')
  }

  /** Of a query with one series at most; null: it has none. */
  async value(query: string): Promise<number | null> {
    const { result } = (await this.#get(`query?query=${encodeURIComponent(query)}`)) as {
      result: readonly { value: readonly [number, string] }[]
    }
    return result.length === 0 ? null : Number(result[0]!.value[1])
  }

  async close(): Promise<void> {
    await this.#daemon.stop()
    await rm(this.#folder, { recursive: true, force: true })
  }

  async #get(what: string): Promise<unknown> {
    const answer = await fetch(`http://${this.#daemon.address}/api/v1/${what}`)
    const { status, data, error } = (await answer.json()) as { status: string; data: unknown; error?: string }
    if (status !== 'success') throw new Error(`Prometheus answered to ${what}: ${error}`)
    return data
  }
}
