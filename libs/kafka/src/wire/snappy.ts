/** Snappy as Kafka's Java client frames it: magic, two versions, then blocks of i32 length + raw snappy. */
import { uncompressSync } from 'snappy'

const MAGIC = Buffer.from([0x82, 0x53, 0x4e, 0x41, 0x50, 0x50, 0x59, 0])

export function snappyJava(body: Buffer): Buffer {
  if (!body.subarray(0, 8).equals(MAGIC)) return uncompressSync(body) as Buffer
  const blocks: Buffer[] = []
  for (let at = 16; at < body.length;) {
    const n = body.readInt32BE(at)
    blocks.push(uncompressSync(body.subarray(at + 4, at + 4 + n)) as Buffer)
    at += 4 + n
  }
  return Buffer.concat(blocks)
}
