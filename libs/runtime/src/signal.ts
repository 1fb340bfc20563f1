/** Level-triggered wake-up for one waiter: a notify with nobody waiting is remembered. */
export class Signal {
  #set = false
  #resolve: (() => void) | undefined

  notify(): void {
    if (this.#resolve) {
      const resolve = this.#resolve
      this.#resolve = undefined
      resolve()
    } else this.#set = true
  }

  wait(): Promise<void> {
    if (this.#set) {
      this.#set = false
      return Promise.resolve()
    }
    return new Promise((resolve) => {
      this.#resolve = resolve
    })
  }
}
