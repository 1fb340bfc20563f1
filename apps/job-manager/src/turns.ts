/** One change of a job after the other, so that what a change was decided on still stands when it is made. */
export class Turns {
  readonly #last = new Map<string, Promise<unknown>>()

  run<T>(name: string, call: () => T | Promise<T>): Promise<T> {
    const turn = (this.#last.get(name) ?? Promise.resolve()).then(call)
    const over = turn.catch(() => undefined)
    this.#last.set(name, over)
    void over.then(() => {
      if (this.#last.get(name) === over) this.#last.delete(name)
    })
    return turn
  }
}
