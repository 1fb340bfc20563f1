/** A Kubernetes object, as parsed. */
export interface KubernetesObject {
  readonly apiVersion: string
  readonly kind: string
  readonly metadata: { readonly name: string; readonly labels?: Readonly<Record<string, string>> }
  readonly [field: string]: unknown
}
export const rules: Readonly<Record<string, (document: KubernetesObject) => string | null>>
export function broken(documents: readonly KubernetesObject[]): string[]
export function missing(documents: readonly KubernetesObject[]): string[]
