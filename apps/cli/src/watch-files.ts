/** Tells when files change. Their folders are watched: editors put a new file in the place of the old one. */
import { watch, type FSWatcher } from 'node:fs'
import { basename, dirname } from 'node:path'

/** A save is several writes. */
const SETTLE_MS = 100

export class FileWatch {
  readonly #changed: () => void
  #watchers: FSWatcher[] = []
  #settling: NodeJS.Timeout | undefined

  constructor(changed: () => void) {
    this.#changed = changed
  }

  /** From now on these, and no others. */
  set(files: readonly string[]): void {
    for (const watcher of this.#watchers) watcher.close()
    const byFolder = new Map<string, Set<string>>()
    for (const file of files) {
      const names = byFolder.get(dirname(file)) ?? new Set()
      byFolder.set(dirname(file), names.add(basename(file)))
    }
    this.#watchers = [...byFolder].map(([folder, names]) =>
      watch(folder, (_, name) => {
        if (name === null || names.has(name)) this.#settle()
      }),
    )
  }

  close(): void {
    clearTimeout(this.#settling)
    this.set([])
  }

  #settle(): void {
    clearTimeout(this.#settling)
    this.#settling = setTimeout(this.#changed, SETTLE_MS)
  }
}
