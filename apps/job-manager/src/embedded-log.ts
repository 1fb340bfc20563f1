/** Embedded mode only: the transactional log lives in this process, task-managers are its children. */
import { EmbeddedLog, FileStorage, serveLog } from '@weir/connectors'
import { systemClock } from '@weir/runtime/system'
import type { Logger } from '@weir/telemetry'
import { join } from 'node:path'

/** How often overdue transactions are looked for. */
const EXPIRE_MS = 500

export async function openEmbeddedLog(
  dataDir: string,
  log: Logger,
): Promise<{ readonly address: string; close(): Promise<void> }> {
  const core = await EmbeddedLog.open(await FileStorage.open(join(dataDir, 'log')), systemClock)
  const service = await serveLog(core)
  let cancel = (): void => {}
  const expire = (): void => {
    core.expire().catch((error: unknown) => log.error({ error: String(error) }, 'the embedded log failed'))
    cancel = systemClock.after(EXPIRE_MS, expire)
  }
  expire()
  return {
    address: service.address,
    async close() {
      cancel()
      service.close()
      await core.close()
    },
  }
}
