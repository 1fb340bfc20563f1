/**
 * The books of the bank, from outside. While it runs: the balances of all accounts as of its last final checkpoint, read from stored
 * state; together they are what the accounts were opened with. At the end: its statements, read as any other reader would.
 */
import { WeirError } from '@weir/model'

export interface Balances {
  readonly epoch: number
  readonly accounts: number
  readonly sumMinor: number
}

interface Page {
  readonly epoch: number
  readonly entries: readonly { readonly value: unknown }[]
  readonly next: string | null
}

/** All of one epoch. Null: there is none yet, or it has gone while it was read. */
export async function balancesOf(jobUrl: string): Promise<Balances | null> {
  let [accounts, sumMinor, cursor] = [0, 0, '']
  let epoch: number | null = null
  for (;;) {
    const answer = await fetch(
      `${jobUrl}/state/accounts/balance?limit=1000${cursor && `&cursor=${encodeURIComponent(cursor)}`}`,
    )
    if (!answer.ok) return null
    const page = (await answer.json()) as Page
    if (epoch !== null && page.epoch !== epoch) return null
    epoch = page.epoch
    for (const { value } of page.entries) sumMinor += Number(value)
    accounts += page.entries.length
    if (page.next === null) return { epoch, accounts, sumMinor }
    cursor = page.next
  }
}

/** Throws `BANK_OUT_OF_BALANCE` (invalid). */
export function mustBalance({ epoch, accounts, sumMinor }: Balances, openingMinor: number): void {
  const expected = accounts * openingMinor
  if (sumMinor === expected) return
  throw new WeirError(
    { code: 'BANK_OUT_OF_BALANCE', kind: 'invalid', epoch, accounts, sumMinor, expected },
    `checkpoint ${epoch}: ${accounts} accounts have ${sumMinor} together, they were opened with ${expected}`,
  )
}

interface Statement {
  readonly account: string
  readonly number: number
  readonly transfer: string
  readonly balanceMinor: number
}

export interface Books {
  readonly statements: number
  readonly accounts: number
  /** Numbers of an account that are missing, and those that are there twice. */
  readonly missing: number
  readonly repeated: number
  /** Transfers without both of their sides. */
  readonly halves: number
  /** Last balances of all accounts, less what they were opened with: 0. */
  readonly driftMinor: number
}

export function booksOf(statements: readonly Statement[], openingMinor: number): Books {
  const accounts = new Map<string, Map<number, Statement>>()
  const sides = new Map<string, number>()
  let repeated = 0
  for (const statement of statements) {
    const of = accounts.get(statement.account) ?? new Map<number, Statement>()
    accounts.set(statement.account, of)
    if (of.has(statement.number)) repeated++
    of.set(statement.number, statement)
    sides.set(statement.transfer, (sides.get(statement.transfer) ?? 0) + 1)
  }
  let [missing, sumMinor] = [0, 0]
  for (const of of accounts.values()) {
    const last = Math.max(...of.keys())
    missing += last - of.size
    sumMinor += of.get(last)!.balanceMinor
  }
  const halves = [...sides.values()].filter((n) => n !== 2).length
  const driftMinor = sumMinor - accounts.size * openingMinor
  return { statements: statements.length, accounts: accounts.size, missing, repeated, halves, driftMinor }
}

export const isSound = ({ missing, repeated, halves, driftMinor }: Books): boolean =>
  missing === 0 && repeated === 0 && halves === 0 && driftMinor === 0
