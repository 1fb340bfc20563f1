import { WeirError } from '@weir/model'

/** A tier's errors as those of a store of claims. */
export async function told<T>(call: Promise<T>): Promise<T> {
  try {
    return await call
  } catch (error) {
    const code = error instanceof WeirError ? CODES[error.code] : undefined
    if (code === undefined) throw error
    const { facts, message } = error as WeirError
    throw new WeirError({ ...facts, code }, message, { cause: error })
  }
}

const CODES: Readonly<Record<string, string>> = {
  CLAIM_TIER_UNAVAILABLE: 'CLAIMS_UNAVAILABLE',
  CLAIM_TIER_CORRUPT: 'CLAIMS_FOREIGN',
  CLAIM_TIER_CLOSED: 'CLAIMS_CLOSED',
}
