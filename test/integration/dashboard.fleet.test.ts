import Axe from '@axe-core/playwright'
import { spawn, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { accessSync, constants } from 'node:fs'
import { delimiter, join } from 'node:path'
import { chromium, type Browser } from 'playwright-core'
import { afterAll, beforeAll, expect, test } from 'vitest'

function browserPath(): string {
  const onPath = (process.env['PATH'] ?? '').split(delimiter).map((folder) => join(folder, 'chromium'))
  for (const path of [process.env['CHROMIUM'], ...onPath]) {
    if (path === undefined) continue
    try {
      accessSync(path, constants.X_OK)
      return path
    } catch {
      continue
    }
  }
  throw new Error('no Chromium: install it (Debian: `apt-get install chromium`) or name one in CHROMIUM')
}

let browser: Browser
let demo: ChildProcess
let url: string

beforeAll(async () => {
  browser = await chromium.launch({ executablePath: browserPath(), args: ['--no-sandbox'] })
  demo = spawn(process.execPath, ['apps/cli/dist/demo.js'], { stdio: ['ignore', 'pipe', 'ignore'] })
  url = await new Promise((resolve, reject) => {
    let text = ''
    demo.stdout!.on('data', (chunk: Buffer) => {
      const found = /look at (http:\/\/[^/\s]+)/.exec((text += chunk.toString()))
      if (found) resolve(found[1]!)
    })
    demo.once('exit', (code) => reject(new Error(`the demo ended with ${code}; is it built (npm run build)?`)))
  })
}, 60_000)
afterAll(async () => {
  await browser?.close()
  if (demo === undefined || demo.exitCode !== null || demo.signalCode !== null) return
  const ended = once(demo, 'exit')
  demo.kill('SIGTERM')
  await ended
}, 60_000)

test('of a thousand subtasks only those in sight are made, and they are reached by keyboard', async () => {
  const page = await browser.newPage()
  await page.route('**/api/v1/jobs/payments/events', async (route) => {
    const job = (await (await route.fetch({ url: `${url}/api/v1/jobs/payments` })).json()) as { slices: object[] }
    const slices = Array.from({ length: 1_000 }, (_, subtask) => ({ ...job.slices[0], subtask, splits: [] }))
    const snapshot = JSON.stringify({ job: { ...job, slices }, checkpoints: [] })
    await route.fulfill({ contentType: 'text/event-stream', body: `event: snapshot\nid: 1-1\ndata: ${snapshot}\n\n` })
  })
  await page.goto(`${url}/#/jobs/payments`)
  const table = page.getByRole('table', { name: 'Subtasks' })
  await table.waitFor()
  expect(await table.getAttribute('aria-rowcount')).toBe('1001')
  expect(await table.getByRole('row').count()).toBeLessThan(60)
  await table.focus()
  await page.keyboard.press('End')
  await table.locator('[aria-rowindex="1001"]').waitFor()
  await page.unrouteAll({ behavior: 'wait' })
  await page.close()
})

test('figures of before stay when the job-manager is silent, and are called old', async () => {
  const page = await browser.newPage()
  let streams = 0
  await page.route('**/api/v1/events', async (route) => {
    if (++streams > 1) return route.abort()
    const jobs = (await (await route.fetch({ url: `${url}/api/v1/jobs` })).json()) as object[]
    const snapshot = JSON.stringify({ jobs, taskManagers: [] })
    await route.fulfill({ contentType: 'text/event-stream', body: `event: snapshot\nid: 1-1\ndata: ${snapshot}\n\n` })
  })
  await page.goto(`${url}/#/`)
  const alert = page.getByRole('alert')
  await alert.waitFor()
  expect(await alert.innerText()).toContain('What is shown is from before.')
  expect(await page.getByRole('link', { name: 'payments' }).isVisible()).toBe(true)
  await page.unrouteAll({ behavior: 'wait' })
  await page.close()
})

test('a fleet that wants to know who asks is shown after its token was given, and not with another one', async () => {
  const page = await browser.newPage()
  const asked: (string | undefined)[] = []
  await page.route('**/api/v1/**', async (route) => {
    const { authorization } = route.request().headers()
    asked.push(authorization)
    if (authorization === 'Bearer right') return route.fallback()
    const detail = 'give a bearer token'
    await route.fulfill({ status: 401, json: { code: 'BEARER_REFUSED', detail } })
  })
  await page.goto(`${url}/#/`)
  for (const token of ['wrong', 'right']) {
    await page.getByText('give a bearer token').waitFor()
    await page.getByLabel('Bearer token').fill(token)
    const isAsked = page.waitForRequest((request) => request.headers()['authorization'] === `Bearer ${token}`)
    await page.getByRole('button', { name: 'Sign in' }).press('Enter')
    await isAsked
  }
  await page.getByRole('link', { name: 'payments' }).waitFor()
  await page.reload()
  await page.getByRole('link', { name: 'payments' }).waitFor()
  expect(new Set(asked)).toEqual(new Set([undefined, 'Bearer wrong', 'Bearer right']))
  await page.unrouteAll({ behavior: 'wait' })
  await page.close()
})

// Last: it cancels the job, and then the demo ends.
test('all pages in light and dark have no serious finding, and a cancel by keyboard is asked for first, then done', async () => {
  for (const colorScheme of ['light', 'dark'] as const) {
    const page = await (await browser.newContext({ colorScheme })).newPage()
    const errors: string[] = []
    page.on('pageerror', (error) => errors.push(error.message))
    const sound = async (table: string): Promise<void> => {
      await page.getByRole('table', { name: table }).waitFor()
      const { violations } = await new Axe({ page }).analyze()
      expect(violations.filter(({ impact }) => impact === 'serious' || impact === 'critical')).toEqual([])
    }
    const answer = await page.goto(url)
    expect(answer?.headers()['content-security-policy']).toContain("default-src 'none'")
    await sound('Jobs')
    await page.getByRole('link', { name: 'Task-managers' }).press('Enter')
    await sound('Task-managers')
    await page.getByRole('link', { name: 'Audit' }).press('Enter')
    await sound('Audit')
    await page.goto(`${url}/#/jobs/payments`)
    await page.getByRole('group', { name: /^by-user, keyBy/ }).waitFor()
    await sound('Checkpoints')
    await sound('Ledger')
    await page.getByRole('link', { name: 'State' }).press('Enter')
    await page.getByRole('button', { name: 'accumulator' }).press('Enter')
    await sound('Entries')
    await page.getByRole('link', { name: 'Overview' }).press('Enter')
    expect(errors).toEqual([])
    if (colorScheme === 'light') continue
    await page.getByRole('button', { name: 'Cancel job…' }).press('Enter')
    const keys: (string | undefined)[] = []
    await page.route('**/api/v1/jobs/payments/cancel', async (route) => {
      keys.push(route.request().headers()['idempotency-key'])
      await (keys.length === 1 ? route.abort() : route.continue())
    })
    const confirm = page.getByRole('button', { name: 'Cancel the job', exact: true })
    await confirm.press('Enter')
    await page.getByRole('dialog').getByRole('alert').waitFor()
    await confirm.press('Enter')
    await page.locator('.state', { hasText: 'CANCEL' }).waitFor()
    expect(keys, 'a retry is the same wish').toEqual([keys[0], keys[0]])
    expect(keys[0]).toMatch(/^[0-9a-f]{32}$/)
  }
}, 180_000)
