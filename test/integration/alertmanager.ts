/** A real Alertmanager that posts to a webhook what it is told of; `npm run check:deploy` builds one from its Go module. */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import net, { type AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

export interface Alertmanager {
  /** As Prometheus tells of it. */
  fires(labels: Readonly<Record<string, string>>): Promise<void>
  close(): Promise<void>
}

const LOOK_MS = 50

export async function startAlertmanager(program: string, webhook: string): Promise<Alertmanager> {
  const folder = await mkdtemp(join(tmpdir(), 'weir-alertmanager-'))
  const file = join(folder, 'alertmanager.yml')
  const receiver = { name: 'weir', webhook_configs: [{ url: webhook, send_resolved: true }] }
  const route = { receiver: 'weir', group_by: ['alertname', 'job'], group_wait: '100ms', repeat_interval: '1h' }
  await writeFile(file, JSON.stringify({ route, receivers: [receiver] }))
  const probe = net.createServer().listen(0, '127.0.0.1')
  await once(probe, 'listening')
  const { port } = probe.address() as AddressInfo
  probe.close()
  await once(probe, 'close')
  const url = `http://127.0.0.1:${port}`
  const storage = [`--storage.path=${join(folder, 'data')}`, '--cluster.listen-address=']
  const args = [`--config.file=${file}`, `--web.listen-address=127.0.0.1:${port}`, ...storage]
  const child = spawn(program, args, { stdio: ['ignore', 'ignore', 'pipe'] })
  let said = ''
  child.stderr.on('data', (data: Buffer) => (said = (said + data.toString()).slice(-2_000)))
  while (!(await fetch(`${url}/-/ready`).catch(() => null))?.ok) {
    if (child.exitCode !== null) throw new Error(`Alertmanager ended with ${child.exitCode}: ${said}`)
    await new Promise((resolve) => setTimeout(resolve, LOOK_MS))
  }
  return {
    async fires(labels) {
      const init = { method: 'POST', headers: { 'content-type': 'application/json' } }
      const answer = await fetch(`${url}/api/v2/alerts`, { ...init, body: JSON.stringify([{ labels }]) })
      if (!answer.ok) throw new Error(`Alertmanager answered ${answer.status}: ${await answer.text()}`)
    },
    async close() {
      const gone = once(child, 'exit')
      child.kill('SIGTERM')
      await gone
      await rm(folder, { recursive: true, force: true })
    },
  }
}
