/** Answers that are asked for again and again, and how they are shown while there is none. */
import { keepPreviousData, useQuery } from '@tanstack/react-query'
import { useRef, type ReactNode } from 'react'
import { POLL_MS, pollAfter } from './view.ts'

/** What is shown of an answer: `data` may be from before the `error`. */
export interface Asked<T> {
  readonly data: T | undefined
  readonly error: Error | null
}

/** Once for a page. */
export const useAnswer = <T,>(key: string, ask: () => Promise<T>): Asked<T> =>
  useQuery({ queryKey: [key], queryFn: ask })

/** What was asked for before stays until there is an answer. @param isOpen it may still change: ask again */
export const useKept = <T,>(key: string, ask: () => Promise<T>, isOpen: boolean): Asked<T> =>
  useQuery({
    queryKey: [key],
    queryFn: ask,
    placeholderData: keepPreviousData,
    refetchInterval: isOpen ? POLL_MS : false,
  })

/** Not while the page is hidden, and less often while there is no answer. */
export function usePolled<T>(key: string, ask: () => Promise<T>): Asked<T> {
  const failures = useRef(0)
  return useQuery({
    queryKey: [key],
    queryFn: async () => {
      try {
        const answer = await ask()
        failures.current = 0
        return answer
      } catch (error) {
        failures.current++
        throw error
      }
    },
    refetchInterval: () => pollAfter(failures.current),
  })
}

/** Old figures stay visible beside the error, and are called old. */
export function Shown<T>({ of, children }: { of: Asked<T>; children: (data: T) => ReactNode }): ReactNode {
  return (
    <>
      {of.error && (
        <p role="alert">
          {of.error.message} {of.data !== undefined && 'What is shown is from before.'}
        </p>
      )}
      {of.data !== undefined ? children(of.data) : !of.error && <p role="status">Loading…</p>}
    </>
  )
}
