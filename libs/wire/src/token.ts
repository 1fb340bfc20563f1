/** The shared fleet token: one secret of all processes. */
import { WeirError } from '@weir/model'
import { createHash, timingSafeEqual } from 'node:crypto'

const hash = (text: string): Buffer => createHash('sha256').update(text).digest()

/** Throws `TOKEN_REFUSED` (invalid). No token configured: everybody is let in (loopback only). */
export function checkToken(expected: string | null, given: string | undefined): void {
  if (expected === null || timingSafeEqual(hash(expected), hash(given ?? ''))) return
  throw new WeirError(
    { code: 'TOKEN_REFUSED', kind: 'invalid' },
    'the fleet token is missing or wrong: set WEIR_FLEET_TOKEN to the same value in every process and in the CLI',
  )
}
