/** Asks a server within a bound: whoever waits for an examination waits for this long at most, whatever is away. */
import { asWeirError, type Clock } from '@weir/model'
import type { Asked } from './facts.ts'

/** Never rejects. `ask` is told by its signal when its time is over. */
export async function asked<T>(
  name: string,
  { clock, boundMs }: { readonly clock: Clock; readonly boundMs: number },
  ask: (signal: AbortSignal) => Promise<T>,
): Promise<Asked<T>> {
  const end = new AbortController()
  let cancel = (): void => {}
  const late = new Promise<never>((_, reject) => {
    cancel = clock.after(boundMs, () => {
      const error = new Error(`no answer within ${boundMs} ms`)
      reject(error)
      end.abort(error)
    })
  })
  try {
    return { name, facts: await Promise.race([ask(end.signal), late]) }
  } catch (thrown) {
    return { name, unanswered: { message: asWeirError(thrown, 'NOT_EXAMINED', 'retry').message } }
  } finally {
    cancel()
  }
}
