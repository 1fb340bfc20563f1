/** A real Alertmanager that posts to a webhook what it is told of; `npm run check:deploy` builds one from its Go module. */
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { freePorts } from '../../tools/stack/servers.mjs'
import { Daemon } from './daemon.ts'

export class Alertmanager {
  readonly #daemon: Daemon
  readonly #folder: string

  private constructor(daemon: Daemon, folder: string) {
    this.#daemon = daemon
    this.#folder = folder
  }

  /** As docs/REMEDIATION.md has it; what has changed is posted at once, and every second. */
  static async start(program: string, webhook: string): Promise<Alertmanager> {
    const folder = await mkdtemp(join(tmpdir(), 'weir-alertmanager-'))
    const file = join(folder, 'alertmanager.yml')
    const receiver = { name: 'weir', webhook_configs: [{ url: webhook, send_resolved: true }] }
    const grouped = { group_by: ['alertname', 'job'], group_wait: '100ms', group_interval: '1s', repeat_interval: '1h' }
    await writeFile(file, JSON.stringify({ route: { receiver: 'weir', ...grouped }, receivers: [receiver] }))
    const [port] = await freePorts(1)
    const address = `127.0.0.1:${port}`
    const storage = [`--storage.path=${join(folder, 'data')}`, '--cluster.listen-address=']
    const args = [`--config.file=${file}`, `--web.listen-address=${address}`, ...storage]
    return new Alertmanager(await Daemon.start(program, args, address), folder)
  }

  /** host:port */
  get address(): string {
    return this.#daemon.address
  }

  /** As Prometheus tells of it. */
  async fires(labels: Readonly<Record<string, string>>): Promise<void> {
    const init = { method: 'POST', headers: { 'content-type': 'application/json' }, body: JSON.stringify([{ labels }]) }
    const answer = await fetch(`http://${this.address}/api/v2/alerts`, init)
    if (!answer.ok) throw new Error(`Alertmanager answered ${answer.status}: ${await answer.text()}`)
  }

  async close(): Promise<void> {
    await this.#daemon.stop()
    await rm(this.#folder, { recursive: true, force: true })
  }
}
