import { describe, expect, test } from 'vitest'
import { ManualClock } from './testing/index.ts'
import { SUSPENDED_MS, whileAwake } from './pulse.ts'

/** Time passes, and no timer has its turn: the process was stopped. */
class StoppedClock extends ManualClock {
  #stoodMs = 0
  override monotonic(): number {
    return super.monotonic() + this.#stoodMs
  }
  stand(ms: number): void {
    this.#stoodMs += ms
  }
}
const suspended = { code: 'PROCESS_SUSPENDED', kind: 'restart' }

describe('who asks whether the process was awake all the time', () => {
  test('hears so, however long the work takes', async () => {
    const clock = new StoppedClock()
    const work = async (awake: () => void): Promise<string> => {
      for (let i = 0; i < 100; i++) {
        clock.advance(10_000)
        clock.stand(SUSPENDED_MS - 1) // a busy machine
        await Promise.resolve()
        clock.advance(1_000)
        awake()
      }
      return 'done'
    }
    expect(await whileAwake(clock, work)).toBe('done')
  })

  test('hears of a standstill at once, before any timer has had its turn, and also behind later beats', async () => {
    const clock = new StoppedClock()
    const asked = whileAwake(clock, (awake) => {
      clock.advance(1_000)
      awake()
      clock.stand(30_000)
      expect(awake).toThrow(expect.objectContaining({ facts: expect.objectContaining(suspended) as object }) as Error)
      clock.advance(10_000)
      awake()
      return Promise.resolve()
    })
    await expect(asked).rejects.toMatchObject(suspended)
  })

  test('hears of one that a beat has seen first', async () => {
    const clock = new StoppedClock()
    const asked = whileAwake(clock, (awake) => {
      clock.stand(30_000)
      clock.advance(5_000)
      awake()
      return Promise.resolve()
    })
    await expect(asked).rejects.toMatchObject(suspended)
  })

  test('what stood still before the work began is no standstill of it', async () => {
    const clock = new StoppedClock()
    clock.stand(60_000)
    await whileAwake(clock, (awake) => Promise.resolve(awake()))
  })
})
