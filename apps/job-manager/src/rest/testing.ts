/** A job-manager that leads in a folder of its own, with its REST API on a port: for tests. */
import type { JobRecord, JobStore } from '@weir/checkpoint'
import { openEmbeddedMetadata } from '@weir/metadata'
import { systemClock, systemRandom } from '@weir/runtime/system'
import { Metrics, createLogger } from '@weir/telemetry'
import { mkdtemp } from 'node:fs/promises'
import { createServer, type AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Audit } from '../audit/audit.ts'
import { AuditFile } from '../audit/file.ts'
import { createApp } from '../app.ts'
import { readConfig } from '../config.ts'
import { removeFolder } from '../fixture.ts'
import { JobManager } from '../job-manager.ts'
import type { Metadata } from '../metadata.ts'
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

/** @param read what it finds in place of its jobs, and when: who gives it gets a manager that leads, and may not have read them */
export async function testManager(
  env: Readonly<Record<string, string>> = {},
  read: Promise<readonly JobRecord[]> | null = null,
): Promise<TestManager> {
  const dir = await mkdtemp(join(tmpdir(), 'weir-rest-'))
  const { stores, ...rest } = await openEmbeddedMetadata(dir, systemRandom)
  const metadata: Metadata = {
    ...{ ...rest, arbiters: 'etcd-and-objects' },
    stores: (leadership) => ({ ...stores(leadership), jobs: readLater(stores(leadership).jobs, read) }),
  }
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
  while (!manager.leading || (read === null && !(await manager.led()).hasRead))
    await new Promise((resolve) => setImmediate(resolve))
  const term = await manager.led()
  const { port } = app.getHttpServer().address() as { port: number }
  return {
    ...{ manager, term, grpc, url: `http://127.0.0.1:${port}` },
    async close() {
      await manager.close()
      await app.close()
      await removeFolder(dir)
    },
  }
}

const readLater = (jobs: JobStore, read: Promise<readonly JobRecord[]> | null): JobStore => ({
  create: (record) => jobs.create(record),
  get: (id) => jobs.get(id),
  update: (id, change) => jobs.update(id, change),
  list: () => read ?? jobs.list(),
})

/** Nest does not tell which port it was given. */
function freePort(): Promise<number> {
  return new Promise((resolve) => {
    const probe = createServer().listen(0, '127.0.0.1', () => {
      const { port } = probe.address() as AddressInfo
      probe.close(() => resolve(port))
    })
  })
}
