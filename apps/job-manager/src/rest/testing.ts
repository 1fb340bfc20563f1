/** A job-manager that leads in a folder of its own, with its REST API on a port: for tests. */
import { openEmbeddedMetadata } from '@weir/metadata'
import { systemClock, systemRandom } from '@weir/model'
import { Metrics, createLogger } from '@weir/telemetry'
import { mkdtemp, rm } from 'node:fs/promises'
import { createServer, type AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Audit } from '../audit/audit.ts'
import { AuditFile } from '../audit/file.ts'
import { createApp } from '../app.ts'
import { readConfig } from '../config.ts'
import { JobManager } from '../job-manager.ts'
import type { Term } from '../term.ts'

export interface TestManager {
  readonly manager: JobManager
  readonly term: Term
  /** http://host:port */
  readonly url: string
  /** host:port */
  readonly grpc: string
  close(): Promise<void>
}

export async function testManager(env: Readonly<Record<string, string>> = {}): Promise<TestManager> {
  const dir = await mkdtemp(join(tmpdir(), 'weir-rest-'))
  const metadata = { ...(await openEmbeddedMetadata(dir, systemRandom)), arbiters: 'etcd-and-objects' as const }
  const config = readConfig({ WEIR_MODE: 'embedded', WEIR_DATA_DIR: dir, ...env })
  const metrics = new Metrics('job-manager')
  const log = createLogger('job-manager', 'fatal')
  const file = await AuditFile.open(config.auditFile!, config.auditSync)
  const audit = new Audit({ file, log, clock: systemClock, random: systemRandom })
  const self = { grpcAddress: 'none:1', restAddress: 'none:2' }
  const manager = new JobManager(config, metadata, self, log, metrics, audit)
  const grpc = `127.0.0.1:${await freePort()}`
  const app = await createApp(manager, metrics, grpc, config.listen.tls)
  await app.startAllMicroservices()
  await app.listen(0, '127.0.0.1')
  void manager.run()
  while (!manager.leading) await new Promise((resolve) => setImmediate(resolve))
  const term = await manager.term()
  const { port } = app.getHttpServer().address() as { port: number }
  return {
    ...{ manager, term, grpc, url: `http://127.0.0.1:${port}` },
    async close() {
      await manager.close()
      await app.close()
      await rm(dir, { recursive: true, force: true })
    },
  }
}

/** Nest does not tell which port it was given. */
function freePort(): Promise<number> {
  return new Promise((resolve) => {
    const probe = createServer().listen(0, '127.0.0.1', () => {
      const { port } = probe.address() as AddressInfo
      probe.close(() => resolve(port))
    })
  })
}
