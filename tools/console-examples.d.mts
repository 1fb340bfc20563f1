export interface Example {
  readonly command: string
  readonly expected: string
}
export function examplesIn(text: string): { readonly name: string; readonly examples: readonly Example[] }[]
export function asExpected(expected: string, output: string): boolean
export function wrong(example: Example, env: NodeJS.ProcessEnv): string | null
