/** What cannot be stopped goes on by itself; who asked for it waits no longer than the signal. Rejects with its reason. */
export function aborting<T>(call: Promise<T>, signal: AbortSignal): Promise<T> {
  return new Promise<T>((resolve, reject) => {
    const aborted = (): void => reject(signal.reason as Error)
    if (signal.aborted) aborted()
    else signal.addEventListener('abort', aborted, { once: true })
    void call.then(resolve, reject).finally(() => signal.removeEventListener('abort', aborted))
  })
}
