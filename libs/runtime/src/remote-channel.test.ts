import { attempt, generation, jobId, subtask, watermark } from '@weir/model'
import { expect, test } from 'vitest'
import { CHANNEL_CREDITS, RemoteInput, RemoteOutput } from './channel.ts'
import { MemoryExchange } from './testing/index.ts'

const link = {
  ...{ jobId: jobId('j'), attempt: { generation: generation(1), attempt: attempt(1) } },
  ...{ from: subtask(0), to: subtask(1), stage: 1, input: 0 },
}
const settled = (): Promise<void> => new Promise((resolve) => setImmediate(resolve))

test.each([
  ['two channels', 2, 16],
  ['three', 3, 16],
  ['four', 4, CHANNEL_CREDITS],
  ['a hundred', 100, CHANNEL_CREDITS],
])(
  'a stage with %s: on a link that takes 16 frames to keep two busy slots going, %i channels have %i in flight',
  async (_, channels, inFlight) => {
    const exchange = new MemoryExchange()
    const inbound = { ...(await exchange.accept(link)), framesMax: 16 }
    const input = new RemoteInput(inbound, { overtaking: false, channels })
    const output = new RemoteOutput(await exchange.connect(link), () => {}, { overtaking: false })
    let arrived = 0
    input.onElement(() => arrived++)
    await settled()
    for (let i = 0; i < 20; i++) output.send(watermark(i))
    await settled()
    expect([arrived, output.waiting]).toEqual([inFlight, 20 - inFlight])
    input.consumed()
    await settled()
    expect(arrived).toBe(inFlight + 1)
  },
)
