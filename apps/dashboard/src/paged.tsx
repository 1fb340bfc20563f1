/** Lists that are read a page at a time, because they have no end worth waiting for. */
import { useInfiniteQuery } from '@tanstack/react-query'
import type { ReactNode } from 'react'

export interface Page<T> {
  readonly entries: readonly T[]
  /** Asks for the page behind this one; null: this is the last. */
  readonly next: string | null
}

export function Paged<T>({
  name,
  ask,
  children,
}: {
  name: string
  ask: (next: string | null) => Promise<Page<T>>
  children: (entries: readonly T[]) => ReactNode
}): ReactNode {
  const pages = useInfiniteQuery({
    queryKey: [name],
    queryFn: ({ pageParam }) => ask(pageParam),
    initialPageParam: null as string | null,
    getNextPageParam: ({ next }) => next,
  })
  return (
    <>
      {pages.error && <p role="alert">{pages.error.message}</p>}
      {pages.data === undefined
        ? !pages.error && <p role="status">Loading…</p>
        : children(pages.data.pages.flatMap(({ entries }) => entries))}
      <p className="choices">
        <button type="button" disabled={pages.isFetching} onClick={() => void pages.refetch()}>
          Look again
        </button>
        {pages.hasNextPage && (
          <button type="button" disabled={pages.isFetching} onClick={() => void pages.fetchNextPage()}>
            More
          </button>
        )}
      </p>
    </>
  )
}
