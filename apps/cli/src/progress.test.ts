import { expect, test } from 'vitest'
import { QUIET, SUBMIT_STAGES, barLine, followed, progressOn, type ProgressStream } from './progress.ts'

function told(isTTY: boolean) {
  let nowMs = 0
  let text = ''
  let draw = (): void => {}
  const stream: ProgressStream = { isTTY, columns: 60, write: (more) => (text += more) }
  const stopped = { count: 0 }
  const progress = progressOn({
    stream,
    now: () => nowMs,
    every: (_, call) => {
      draw = call
      return () => void stopped.count++
    },
  })
  return {
    progress,
    stopped,
    text: () => text,
    wait(ms: number) {
      nowMs += ms
      draw()
    },
  }
}

test('elsewhere than on a terminal: a line for each stage that is behind it, with what it was and how long it took', () => {
  const { progress, text, wait } = told(false)
  progress.at('bundle')
  wait(310)
  progress.at('plan', '7 operators in 2 stages')
  progress.at('upload', '312 KiB')
  wait(90)
  progress.at('deploy', 'DEPLOYING')
  progress.at('deploy', 'RECOVERING')
  wait(1_000)
  progress.end('done')
  expect(text()).toBe(
    'bundle, 0.3 s\nplan: 7 operators in 2 stages, 0.0 s\nupload: 312 KiB, 0.1 s\ndeploy: RECOVERING, 1.0 s\n',
  )
})

test('where it failed is said, once', () => {
  const lines = told(false)
  lines.progress.at('preflight')
  lines.progress.end('failed')
  lines.progress.end('failed')
  expect(lines.text()).toBe('preflight, 0.0 s, failed\n')
  const bar = told(true)
  bar.progress.at('preflight')
  bar.progress.end('failed')
  expect(bar.text().endsWith('\u001b[2Kfailed at preflight\n')).toBe(true)
})

test('on a terminal one line is drawn again as time goes by, and is gone when it is done', () => {
  const { progress, text, wait, stopped } = told(true)
  progress.at('upload', '312 KiB')
  wait(1_200)
  expect(text().split('\r\u001b[2K').slice(1)).toEqual([
    '███░░░ 3/6 upload  312 KiB  0.0 s',
    '███░░░ 3/6 upload  312 KiB  1.2 s',
  ])
  progress.end('done')
  expect(text().endsWith('\r\u001b[2K')).toBe(true)
  expect(text()).not.toContain('\n')
  expect(stopped.count).toBe(1)
  wait(100)
  expect(text().endsWith('\r\u001b[2K')).toBe(true)
})

test.each([10, 20, 30, 40, 80])('in %i columns it is one line', (columns) => {
  for (const stage of SUBMIT_STAGES) {
    const detail = 'RESTARTING: a task-manager is gone, so it waits for a slot'
    const line = barLine({ stage, detail }, { stages: SUBMIT_STAGES, elapsedMs: 61_000, columns })
    expect(line.length).toBeLessThan(columns)
  }
})

test('notes come behind the bar, also those of a call that fails', async () => {
  const notes: string[] = []
  const { progress, text } = told(true)
  const call = followed(
    progress,
    (note) => notes.push(`${text().endsWith('failed at upload\n')} ${note}`),
    (note) => {
      progress.at('upload')
      note('the first')
      return Promise.reject(new Error('refused'))
    },
  )
  await expect(call).rejects.toThrow('refused')
  expect(notes).toEqual(['true the first'])
  expect(
    await followed(
      QUIET,
      () => {},
      () => Promise.resolve(7),
    ),
  ).toBe(7)
})
