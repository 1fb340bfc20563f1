/** What an audit says: what does not fit, where, and in which words. */

/** What does not fit. JSON. */
export interface Finding {
  readonly code:
    | 'RECEIPT_MISSING'
    | 'RECEIPT_TWICE'
    | 'RECEIPT_TAMPERED'
    | 'OUTPUT_MISSING'
    | 'OUTPUT_TAMPERED'
    | 'OUTPUT_WITHOUT_RECEIPT'
    | 'INPUT_MISSING'
    | 'INPUT_TAMPERED'
    | 'INPUT_TWICE'
    | 'INPUT_UNREAD'
  readonly message: string
  readonly facts: Readonly<Record<string, unknown>>
}

export const FINDINGS_MAX = 100

export const found = (code: Finding['code'], message: string, facts: Record<string, unknown>): Finding => ({
  code,
  message,
  facts,
})
