export function tableBehind(markdown: string, heading: string): Record<string, string>[]
export function bars(
  title: string,
  note: string,
  rows: readonly { readonly name: string; readonly value: number; readonly ours: boolean; readonly said?: string }[],
): string
export function plots(): Record<string, string>
