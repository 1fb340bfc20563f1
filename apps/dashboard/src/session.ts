/** Who asks: a bearer token, kept until the tab is closed. */

const STORED_AS = 'weir-token'

let token = stored()
/** Why REST did not let us in; null: it did, or was not asked yet. */
let refusal: string | null = null
const listeners = new Set<() => void>()

function stored(): string | null {
  try {
    return sessionStorage.getItem(STORED_AS)
  } catch {
    return null
  }
}

export const authorization = (): Record<string, string> => (token === null ? {} : { authorization: `Bearer ${token}` })

export function enter(next: string): void {
  token = next
  try {
    sessionStorage.setItem(STORED_AS, next)
  } catch {
    // Storage is switched off: the token holds until the page is left.
  }
  told(null)
}

/** REST answered 401. */
export const refused = (why: string): void => told(why)

function told(why: string | null): void {
  refusal = why
  for (const listener of listeners) listener()
}

export const refusalNow = (): string | null => refusal
export function subscribe(listener: () => void): () => void {
  listeners.add(listener)
  return () => listeners.delete(listener)
}
