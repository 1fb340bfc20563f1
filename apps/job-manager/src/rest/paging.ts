/**
 * Lists in pages: the body is the list, `Link` (RFC 8288) names the next page. A cursor is the key of the last entry of the page
 * before, so a page is right whatever has come or gone meanwhile.
 */
import { ApiQuery } from '@nestjs/swagger'
import { WeirError } from '@weir/model'
import { wholeIn, type Headers, type Request } from './answer.ts'

export const PAGE_DEFAULT = 100
export const PAGE_MAX = 1_000
const CURSOR = /^[\w-]{1,400}$/

export interface PageWish {
  readonly cursor?: string
  readonly limit?: string
}
export interface Order<T> {
  /** Unique. */
  readonly key: (entry: T) => string
  readonly newestFirst?: boolean
}
export interface Page<T> {
  readonly entries: readonly T[]
  /** Null: this is the last one. */
  readonly next: string | null
}

/** @param after key of the last entry of the page before; null: from the beginning */
export function pageOf<T>(all: readonly T[], order: Order<T>, after: string | null, limit: number): Page<T> {
  const sign = order.newestFirst ? -1 : 1
  const compare = (a: string, b: string): number => sign * (a < b ? -1 : a > b ? 1 : 0)
  const behind = all
    .map((entry) => ({ entry, key: order.key(entry) }))
    .filter(({ key }) => after === null || compare(key, after) > 0)
    .sort((a, b) => compare(a.key, b.key))
  const page = behind.slice(0, limit)
  return { entries: page.map(({ entry }) => entry), next: behind.length > limit ? page.at(-1)!.key : null }
}

/** The page that is asked for; its `Link` goes into `headers`. Throws `PAGE_INVALID` (invalid). */
export function paged<T>(
  all: readonly T[],
  order: Order<T>,
  { url }: Request,
  wish: PageWish,
  headers: Headers,
): readonly T[] {
  const limit = wish.limit === undefined ? PAGE_DEFAULT : wholeIn(wish.limit)
  if (limit > PAGE_MAX) throw refused('limit', wish.limit!, `at most ${PAGE_MAX}`)
  const { cursor } = wish
  if (cursor !== undefined && !CURSOR.test(cursor)) throw refused('cursor', cursor, 'that of the "next" link')
  const after = cursor === undefined ? null : Buffer.from(cursor, 'base64url').toString()
  const { entries, next } = pageOf(all, order, after, limit)
  if (next !== null) {
    const [path] = url.split('?')
    headers['link'] = `<${path}?limit=${limit}&cursor=${Buffer.from(next).toString('base64url')}>; rel="next"`
  }
  return entries
}

/** Describes the two parameters. */
export const ApiPaged = (): MethodDecorator => (target, name, descriptor) => {
  const limit = { type: 'integer', minimum: 1, maximum: PAGE_MAX, default: PAGE_DEFAULT } as const
  ApiQuery({ name: 'limit', required: false, schema: limit })(target, name, descriptor)
  const description = 'From the link with rel="next" of the page before'
  const cursor = { type: 'string', pattern: CURSOR.source } as const
  ApiQuery({ name: 'cursor', required: false, description, schema: cursor })(target, name, descriptor)
}

const refused = (name: string, got: string, give: string): WeirError =>
  new WeirError({ code: 'PAGE_INVALID', kind: 'invalid', name, got }, `${name} is "${got.slice(0, 80)}"; give ${give}`)
