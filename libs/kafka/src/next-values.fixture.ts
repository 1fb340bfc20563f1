import type { SourceReader } from '@weir/dataflow'
import { textsOf } from '@weir/dataflow/testing'

/** The next values of any partition, so many at least where there are. */
export async function nextValues(source: SourceReader, atLeast = 1): Promise<string[]> {
  const values: string[] = []
  while (values.length < atLeast) {
    const polled = await source.poll(1_000)
    if (polled === 'end') break
    if (polled !== 'idle' && polled.kind !== 'split-end') values.push(...textsOf(polled))
  }
  return values
}
