/** Who may do what: three roles, each may do all that the one before it may. */
import { WeirError } from '@weir/model'

export const ROLES = ['viewer', 'operator', 'admin'] as const
export type Role = (typeof ROLES)[number]

export interface Principal {
  /** `anonymous`, `fleet`, or `oidc:` and the subject of the token. */
  readonly name: string
  /** Null: known, and may do nothing. */
  readonly role: Role | null
}

export const mayAct = (role: Role | null, needed: Role): boolean =>
  role !== null && ROLES.indexOf(role) >= ROLES.indexOf(needed)

/** Throws `ROLE_REFUSED` (invalid). */
export function authorize({ name, role }: Principal, needed: Role, what: string): void {
  if (mayAct(role, needed)) return
  throw new WeirError(
    { code: 'ROLE_REFUSED', kind: 'invalid', name, role, needed },
    `${what} needs the role ${needed}; ${name} has ${role ?? 'none'}. Ask whoever gives out tokens for weir-${needed}.`,
  )
}
