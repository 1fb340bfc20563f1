/** What the machine of this process allows it, for `weir doctor`. */
import { readFile, statfs } from 'node:fs/promises'
import { dirname } from 'node:path'

export interface MachineObserved {
  readonly name: string
  readonly node: string
  readonly openFilesMax: number | null
  readonly disk: { readonly folder: string; readonly freeBytes: number } | null
}

/** `folder`: where state lies, or will lie. Never rejects: what cannot be told is null. */
export async function machineFacts(name: string, folder: string): Promise<MachineObserved> {
  const [openFilesMax, disk] = await Promise.all([openFiles(), freeAt(folder)])
  return { name, node: process.versions.node, openFilesMax, disk }
}

/** The soft limit of this process, where the system tells. */
async function openFiles(): Promise<number | null> {
  const limits = await readFile('/proc/self/limits', 'utf8').catch(() => '')
  const [, soft] = /^Max open files\s+(\d+)/m.exec(limits) ?? []
  return soft === undefined ? null : Number(soft)
}

/** Of the nearest folder above it that is there. */
async function freeAt(folder: string): Promise<MachineObserved['disk']> {
  try {
    const { bavail, bsize } = await statfs(folder)
    return { folder, freeBytes: bavail * bsize }
  } catch {
    const above = dirname(folder)
    return above === folder ? null : freeAt(above)
  }
}
