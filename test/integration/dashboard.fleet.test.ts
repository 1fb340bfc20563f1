import Axe from '@axe-core/playwright'
import { spawn, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { accessSync, constants } from 'node:fs'
import { delimiter, join } from 'node:path'
import { chromium, type Browser, type Page } from 'playwright-core'
import { afterAll, beforeAll, expect, test, vi } from 'vitest'

// A browser, a job and two processes share the machine.
vi.setConfig({ testTimeout: 180_000, hookTimeout: 120_000 })

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

interface Job {
  readonly slices: object[]
}

let browser: Browser
let demo: ChildProcess
let url: string

beforeAll(async () => {
  browser = await chromium.launch({ executablePath: browserPath(), args: ['--no-sandbox'] })
  // Of records that have an end far away: without one the demo kills a task-manager after a while, and a job that
  // recovers has its buttons disabled.
  const args = ['apps/cli/dist/demo.js', '--records', '1000000000']
  demo = spawn(process.execPath, args, { stdio: ['ignore', 'pipe', 'ignore'] })
  url = await new Promise((resolve, reject) => {
    let text = ''
    demo.stdout!.on('data', (chunk: Buffer) => {
      const found = /look at (http:\/\/[^/\s]+)/.exec((text += chunk.toString()))
      if (found) resolve(found[1]!)
    })
    demo.once('exit', (code) => reject(new Error(`the demo ended with ${code}; is it built (npm run build)?`)))
  })
})
afterAll(async () => {
  await browser?.close()
  if (demo === undefined || demo.exitCode !== null || demo.signalCode !== null) return
  const ended = once(demo, 'exit')
  demo.kill('SIGTERM')
  await ended
})

/** The page of the demo's job with what never changes: `change` says what its stream tells. */
async function still(page: Page, change: (job: Job) => { job: object; checkpoints: object[] }): Promise<void> {
  await page.route('**/api/v1/jobs/payments/events', async (route) => {
    const job = (await (await route.fetch({ url: `${url}/api/v1/jobs/payments` })).json()) as Job
    const snapshot = JSON.stringify(change(job))
    await route.fulfill({ contentType: 'text/event-stream', body: `event: snapshot\nid: 1-1\ndata: ${snapshot}\n\n` })
  })
}
const checkpoint = (epoch: number, status: string): object => ({
  ...{ epoch, attempt: 1, status, triggeredAt: 0, durationMs: 100 * epoch, reason: null },
  ...{ alignMs: 1, syncMs: 1, asyncMs: 1, bytes: null },
})
const noSeriousFinding = async (page: Page): Promise<void> => {
  expect(await page.evaluate('document.documentElement.scrollWidth - innerWidth')).toBeLessThanOrEqual(0)
  const { violations } = await new Axe({ page }).analyze()
  expect(violations.filter(({ impact }) => impact === 'serious' || impact === 'critical')).toEqual([])
}

test('of a thousand subtasks only those in sight are made, and they are reached by keyboard', async () => {
  const page = await (await browser.newContext()).newPage()
  await still(page, (job) => {
    const split = (split: number) => ({ source: 'payments', split, watermark: 1e12 - split, state: 'active' })
    const slices = Array.from({ length: 1_000 }, (_, subtask) => ({
      ...job.slices[0],
      subtask,
      splits: [split(subtask)],
    }))
    return { job: { ...job, slices }, checkpoints: [checkpoint(1, 'final'), checkpoint(2, 'given-up')] }
  })
  await page.route('**/api/v1/jobs/payments/checkpoints/*/tasks*', async (route) => {
    if (route.request().url().includes('/1/'))
      return route.fulfill({ status: 404, json: { code: 'CHECKPOINT_UNKNOWN', detail: 'forgotten' } })
    const times = { alignMs: 5, syncMs: 1, asyncMs: 90, cutMs: 30, prepareMs: 20, uploadMs: 55, reason: null }
    const tasks = Array.from({ length: 1_000 }, (_, subtask) => ({
      ...{ subtask, taskManagerId: 'tm-1', status: 'acknowledged', ...times },
      ...(subtask === 700 && { status: 'declined', asyncMs: null, reason: 'OBJECT_STORE_UNAVAILABLE: away' }),
      ...(subtask === 701 && { status: 'declined', asyncMs: null, reason: `STATE_CORRUPT: ${'long '.repeat(80)}end` }),
    }))
    await route.fulfill({ json: tasks })
  })
  await page.goto(`${url}/#/jobs/payments`)
  for (const name of ['Subtasks', 'Checkpoint by subtask']) {
    const table = page.getByRole('table', { name, exact: true })
    await table.waitFor()
    expect(await table.getAttribute('aria-rowcount')).toBe('1001')
    expect(await table.getByRole('row').count()).toBeLessThan(60)
    await table.focus()
    await page.keyboard.press('End')
    await table.locator('[aria-rowindex="1001"]').waitFor()
  }
  const tasks = page.getByRole('table', { name: 'Checkpoint by subtask' })
  await page.keyboard.press('Home')
  await tasks.locator('[aria-rowindex="2"]', { hasText: 'declined: OBJECT_STORE_UNAVAILABLE: away' }).waitFor()
  const shown = page.locator('.reason')
  expect(await shown.textContent()).toBe('Subtask 700 declined: OBJECT_STORE_UNAVAILABLE: away')
  await page.keyboard.press('Tab')
  await page.keyboard.press('Tab')
  await page.keyboard.press('Enter')
  await shown.getByText('Subtask 701').waitFor()
  expect(await shown.textContent()).toMatch(/^Subtask 701 declined: STATE_CORRUPT: (long ){80}end$/)
  const isWhole = `(() => { const at = document.querySelector('.reason'); return at.scrollWidth <= at.clientWidth })()`
  expect(await page.evaluate(isWhole)).toBe(true)
  await tasks.getByRole('img', { name: 'subtask 0: aligned 5 ms, stood still 1 ms, async 60 ms' }).waitFor()
  await page.getByRole('img', { name: 'Skew by partition, at most 999 ms: payments, partitions 995 to 999' }).waitFor()
  await noSeriousFinding(page)
  await page.getByRole('button', { name: 'Earlier epoch' }).press('Enter')
  await page.getByText('and this one no more').waitFor()
  await page.unrouteAll({ behavior: 'wait' })
  await page.close()
})

interface Focus {
  readonly name: string
  /** An outline is drawn. */
  readonly isSeen: boolean
  readonly isInDialog: boolean
}
// What runs in the page is text: the types here are Node's.
const NAME_OF = `(at) => (at.getAttribute('aria-label') ?? at.closest('label')?.textContent ?? at.textContent).trim()`

/** Null: at nothing of the page. */
const focused = (page: Page): Promise<Focus | null> =>
  page.evaluate(`(() => {
    const at = document.activeElement
    if (at === null || at === document.body || at === document.documentElement) return null
    const { outlineStyle, outlineWidth } = getComputedStyle(at)
    const isSeen = outlineStyle !== 'none' && parseFloat(outlineWidth) > 0
    return { name: (${NAME_OF})(at), isSeen, isInDialog: at.closest('dialog[open]') !== null }
  })()`)

test('the page of a job is walked by Tab alone: nothing is left out, and each stop is seen', async () => {
  const page = await browser.newPage()
  await still(page, (job) => ({
    // Without what changes from one look to the next: names are compared.
    job: {
      ...job,
      slices: [],
      state: 'RUNNING',
      rates: [{ source: 'in', recordsPerSecond: 500, current: null, reason: null }],
    },
    checkpoints: [checkpoint(1, 'final'), checkpoint(2, 'final'), checkpoint(3, 'in-progress')],
  }))
  await page.goto(`${url}/#/jobs/payments`)
  await page.getByRole('group', { name: /^by-user, keyBy/ }).waitFor()
  await page.getByRole('heading', { name: /^Epoch 2 by subtask/ }).waitFor()
  await page.getByRole('table', { name: 'Ledger' }).waitFor()
  const all: readonly string[] = await page.evaluate(`
    [...document.querySelectorAll('a[href], button:enabled, input:enabled, summary, [tabindex="0"]')]
      .filter((it) => it.checkVisibility())
      .map(${NAME_OF})`)
  const stops: Focus[] = []
  for (let press = 0; press < 3 * all.length; press++) {
    await page.keyboard.press('Tab')
    const stop = await focused(page)
    if (stop === null) break
    stops.push(stop)
  }
  const names = stops.map(({ name }) => name)
  expect(all.filter((name) => !names.includes(name))).toEqual([])
  expect(names.length, 'each once').toBe(all.length)
  expect(stops.filter(({ isSeen }) => !isSeen).map(({ name }) => name)).toEqual([])
  const order = ['Skip to the page', 'Jobs', 'Savepoint…', 'State', 'Limit the rate…', 'Earlier epoch', 'Subtasks']
  expect(names.filter((name) => order.includes(name))).toEqual(order)
  await page.unrouteAll({ behavior: 'wait' })
  await page.close()
})

test('a limit is set by keyboard: the dialog keeps the focus, Escape leaves it, and the plot shows what was changed', async () => {
  const page = await (await browser.newContext()).newPage()
  await page.goto(`${url}/#/jobs/payments`)
  const slider = page.getByRole('slider', { name: 'Limit of each source' })
  const button = page.getByRole('button', { name: 'Limit the rate…' })
  await page.locator('.state', { hasText: 'RUNNING' }).waitFor()
  await slider.focus()
  for (let step = 0; step < 10; step++) await page.keyboard.press('ArrowLeft')
  const said = Number((await slider.getAttribute('aria-valuetext'))!.replace(/\D/g, ''))
  await page.keyboard.press('Tab')
  await page.keyboard.press('Enter')
  const dialog = page.getByRole('dialog', { name: 'How fast may payments read?' })
  await dialog.waitFor()
  for (let press = 0; press < 8; press++) {
    const at = await focused(page)
    expect(at === null || at.isInDialog, `at ${at?.name}`).toBe(true)
    await page.keyboard.press('Tab')
  }
  await page.keyboard.press('Escape')
  await dialog.waitFor({ state: 'hidden' })
  expect(await focused(page)).toMatchObject({ name: 'Limit the rate…', isSeen: true })
  await page.keyboard.press('Enter')
  const field = dialog.getByLabel('Records per second')
  expect(await field.inputValue()).toBe(String(said))
  await field.press('Enter')
  await dialog.waitFor({ state: 'hidden' })
  await page.getByRole('img', { name: new RegExp(`limit: ${said.toLocaleString('en')}/s; changed at `) }).waitFor()
  const rates = (await (await fetch(`${url}/api/v1/jobs/payments/rate`)).json()) as { recordsPerSecond: number }[]
  expect(rates.map(({ recordsPerSecond }) => recordsPerSecond)).toEqual([said])
  expect(await button.isEnabled()).toBe(true)
  await noSeriousFinding(page)
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
      await noSeriousFinding(page)
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
    // The demo ends with its job, so the page may never hear how it went on.
    const answered = page.waitForResponse((response) => response.url().endsWith('/jobs/payments/cancel'))
    await confirm.press('Enter')
    expect(await (await answered).json()).toMatchObject({ state: expect.stringMatching('^CANCELL') as string })
    expect(keys, 'a retry is the same wish').toEqual([keys[0], keys[0]])
    expect(keys[0]).toMatch(/^[0-9a-f]{32}$/)
  }
})
