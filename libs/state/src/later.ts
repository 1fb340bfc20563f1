/**
 * What is behind an epoch and no part of it comes a little later: at once it would take cores and disk from those who publish and commit
 * the epoch.
 */
const LATER_MS = 50

export class Later {
  readonly #waiting = new Set<() => void>()

  /** Resolves a little later, or with `now`. */
  wait(): Promise<void> {
    return new Promise((resolve) => {
      const over = (): void => {
        clearTimeout(timer)
        this.#waiting.delete(over)
        resolve()
      }
      const timer = setTimeout(over, LATER_MS)
      this.#waiting.add(over)
    })
  }

  /** Somebody waits for what waits. */
  now(): void {
    for (const over of [...this.#waiting]) over()
  }
}
