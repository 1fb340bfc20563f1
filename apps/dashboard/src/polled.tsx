/** Answers that are asked for again and again, and how they are shown while there is none. */
import { useQuery, type UseQueryResult } from '@tanstack/react-query'
import { useRef, type ReactNode } from 'react'
import { pollAfter } from './view.ts'

/** Not while the page is hidden, and less often while there is no answer. */
export function usePolled<T>(key: string, ask: () => Promise<T>): UseQueryResult<T> {
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
export function Shown<T>({ of, children }: { of: UseQueryResult<T>; children: (data: T) => ReactNode }): ReactNode {
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
