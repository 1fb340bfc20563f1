import { expect, test } from 'vitest'
import { booksOf, isSound, mustBalance } from './bank-audit.ts'

const statement = (account: string, number: number, transfer: string, balanceMinor: number) => {
  return { account, number, transfer, balanceMinor }
}
const books = [
  statement('ada', 1, 't1', 90),
  statement('bob', 1, 't1', 110),
  statement('bob', 2, 't2', 105),
  statement('ada', 2, 't2', 95),
]

test('the books of a sound bank', () => {
  expect(booksOf(books, 100)).toEqual({ statements: 4, accounts: 2, missing: 0, repeated: 0, halves: 0, driftMinor: 0 })
})

test.each([
  ['a statement is lost', books.slice(1), { missing: 1, halves: 1 }],
  ['a last statement is lost', books.slice(0, 3), { halves: 1, driftMinor: -5 }],
  ['a statement is there twice', [...books, books[0]!], { repeated: 1, halves: 1 }],
  ['a transfer is counted twice', [...books, statement('ada', 3, 't2', 100)], { halves: 1, driftMinor: 5 }],
])('%s: it is told', (_, statements, told) => {
  const found = booksOf(statements, 100)
  expect(found).toMatchObject(told)
  expect(isSound(found)).toBe(false)
})

test('balances that do not add up are told with their checkpoint', () => {
  mustBalance({ epoch: 3, accounts: 2, sumMinor: 200 }, 100)
  expect(() => mustBalance({ epoch: 3, accounts: 2, sumMinor: 199 }, 100)).toThrow('checkpoint 3')
})
