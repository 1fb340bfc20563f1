import { WeirError } from '@weir/model'

/** Full, or not this process's to write. Of this machine alone: the job may run on another one, and here when there is room. */
export const unwritable = (dataDir: string, cause: unknown): WeirError =>
  new WeirError(
    { code: 'DATA_DIR_UNWRITABLE', kind: 'restart', dataDir },
    `WEIR_DATA_DIR ${dataDir} of this task-manager cannot be written (${(cause as Error).message}): make room there, or name another folder`,
    { cause },
  )
