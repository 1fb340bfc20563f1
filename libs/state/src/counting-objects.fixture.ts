/** Objects in a Map, with a count of the bytes that are read. */
import { MemoryObjects } from './fixture.ts'
import type { SegmentUpload } from './segment.ts'

export class CountingObjects extends MemoryObjects {
  bytesRead = 0

  get storedBytes(): number {
    return [...this.stored.values()].reduce((sum, { bytes }) => sum + bytes.length, 0)
  }

  override async get(key: string) {
    const object = await super.get(key)
    this.bytesRead += object?.bytes.length ?? 0
    return object
  }

  override async readRange(key: string, from: number, to: number) {
    const bytes = await super.readRange(key, from, to)
    this.bytesRead += bytes?.length ?? 0
    return bytes
  }

  readonly upload = (key: string): SegmentUpload => {
    const parts: Uint8Array[] = []
    return {
      write: (bytes) => Promise.resolve(void parts.push(bytes)),
      finish: async () => void (await this.put(key, Buffer.concat(parts))),
      abort: () => Promise.resolve(),
    }
  }
}
