/** LZ4 frames, as Kafka writes them. */
import { decompressFrameSync } from 'lz4-napi'

export const uncompressSync = (body: Buffer): Buffer => decompressFrameSync(body)
