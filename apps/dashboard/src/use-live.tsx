/** A stream of events as long as a page is looked at. */
import { useEffect, useState } from 'react'
import { eventStream } from './api.ts'
import { framesIn, type LiveEvent } from './live.ts'
import type { Asked } from './polled.tsx'
import { pollAfter } from './view.ts'

/** Twice the heartbeat, and some: what is silent for longer is dead. */
const SILENCE_MS = 40_000

async function follow(
  path: string,
  last: string,
  signal: AbortSignal,
  tell: (event: LiveEvent) => void,
): Promise<void> {
  const silent = new AbortController()
  let timer: ReturnType<typeof setTimeout> | undefined
  const heard = (): void => {
    clearTimeout(timer)
    timer = setTimeout(() => silent.abort(new Error(`Nothing was heard for ${SILENCE_MS / 1_000} s.`)), SILENCE_MS)
  }
  heard()
  try {
    let text = ''
    for await (const piece of eventStream(path, last, AbortSignal.any([signal, silent.signal]))) {
      heard()
      const { events, rest } = framesIn(text + piece)
      text = rest
      events.forEach(tell)
    }
  } finally {
    clearTimeout(timer)
  }
}

const wait = (ms: number, signal: AbortSignal): Promise<void> =>
  new Promise((resolve) => {
    const over = (): void => {
      clearTimeout(timer)
      signal.removeEventListener('abort', over)
      resolve()
    }
    const timer = setTimeout(over, ms)
    signal.addEventListener('abort', over, { once: true })
  })

/** Comes back when the stream ends or fails, less often while it fails. What was seen stays, beside the error. */
export function useLive<T>(path: string, apply: (before: T | undefined, event: LiveEvent) => T | undefined): Asked<T> {
  const [seen, setSeen] = useState<Asked<T>>({ data: undefined, error: null })
  useEffect(() => {
    const left = new AbortController()
    const { signal } = left
    const run = async (): Promise<void> => {
      let last = ''
      let failures = 0
      while (!signal.aborted) {
        try {
          await follow(path, last, signal, (event) => {
            last = event.id
            failures = 0
            setSeen(({ data }) => ({ data: apply(data, event), error: null }))
          })
        } catch (error) {
          if (signal.aborted) return
          failures++
          setSeen(({ data }) => ({ data, error: error as Error }))
        }
        await wait(pollAfter(failures), signal)
      }
    }
    void run()
    return () => left.abort()
  }, [path, apply])
  return seen
}
