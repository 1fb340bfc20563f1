export interface Source {
  readonly file: string
  readonly text: string
}
export interface ErrorCode {
  readonly room: string
  readonly kinds: ReadonlySet<string>
  readonly texts: ReadonlySet<string>
}
export function sources(): readonly Source[]
export function errorCodes(): ReadonlyMap<string, ErrorCode>
export function metricNames(): ReadonlySet<string>
export function errorsPage(escape: (text: string) => string, codes?: ReadonlyMap<string, ErrorCode>): string
