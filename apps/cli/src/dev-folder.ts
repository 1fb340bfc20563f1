/** Where `weir dev` keeps a job between two of its runs: log, metadata, snapshots. */
import { WeirError } from '@weir/model'
import { mkdir, rm, writeFile } from 'node:fs/promises'
import { dirname, join, resolve } from 'node:path'

/** Beside the project, and in no repository. */
const DEFAULT = '.weir/dev'

/**
 * @param asked `--data-dir`; absent: one of the job's own below the working directory
 * @param fresh without what an earlier run has left. @returns the folder, which is there
 */
export async function devFolder(name: string, asked: string | undefined, fresh: boolean): Promise<string> {
  const folder = asked === undefined ? resolve(DEFAULT, name) : resolve(asked)
  if (fresh) await rm(folder, { recursive: true, force: true })
  await mkdir(folder, { recursive: true })
  if (asked === undefined) await writeFile(join(dirname(dirname(folder)), '.gitignore'), '*\n')
  return folder
}

/** `DATA_DIR_IN_USE` in words of the command that was given; anything else as it is. */
export function folderInUse(thrown: unknown, folder: string): unknown {
  const isInUse = thrown instanceof Error && thrown.message.includes('DATA_DIR_IN_USE')
  if (!isInUse) return thrown
  return new WeirError(
    { code: 'DATA_DIR_IN_USE', kind: 'invalid', folder },
    `another \`weir dev\` runs in ${folder}: end that one, or give this one a folder of its own with --data-dir`,
  )
}
