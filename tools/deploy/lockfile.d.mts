export interface LockedPackage {
  readonly name?: string
  readonly version?: string
  readonly integrity?: string
  readonly resolved?: string
  readonly license?: string
  readonly hasInstallScript?: boolean
  readonly link?: boolean
}
export interface Lock {
  readonly packages: Readonly<Record<string, LockedPackage>>
}
export const rules: Readonly<Record<string, (of: LockedPackage) => string | null>>
export function brokenIn(lock: Lock): string[]
export function unused(lock: Lock): string[]
export function vulnerable(audit: object): string[] | null
