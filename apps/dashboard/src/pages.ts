/** Which page a hash names. Pure. */

export type Place =
  | { readonly page: 'jobs' | 'task-managers' | 'audit' }
  | { readonly page: 'job'; readonly id: string; readonly part: JobPart }

export const JOB_PARTS = ['overview', 'state', 'dead-letters'] as const
export type JobPart = (typeof JOB_PARTS)[number]

export const jobHash = (id: string, part: JobPart = 'overview'): string =>
  `#/jobs/${encodeURIComponent(id)}${part === 'overview' ? '' : `/${part}`}`

/** What is unknown is the list of jobs. */
export function placeOf(hash: string): Place {
  if (hash === '#/task-managers') return { page: 'task-managers' }
  if (hash === '#/audit') return { page: 'audit' }
  const [, id, part = 'overview'] = /^#\/jobs\/([^/]+)(?:\/([a-z-]+))?$/.exec(hash) ?? []
  const known = JOB_PARTS.find((name) => name === part)
  const plain = id === undefined ? null : decoded(id)
  return plain === null || known === undefined ? { page: 'jobs' } : { page: 'job', id: plain, part: known }
}

function decoded(text: string): string | null {
  try {
    return decodeURIComponent(text)
  } catch {
    return null
  }
}
