/** The messages in the bytes of one direction of a gRPC stream, however those are cut. */

/** A flag (compressed), and the length as u32, big-endian. */
const HEADER_BYTES = 5

export class GrpcMessages {
  #rest: Buffer = Buffer.alloc(0)

  /** Those that are whole with these bytes. Messages of Weir are not compressed. */
  add(bytes: Uint8Array): readonly Uint8Array[] {
    const all = this.#rest.length === 0 ? Buffer.from(bytes) : Buffer.concat([this.#rest, bytes])
    const found: Uint8Array[] = []
    let at = 0
    while (all.length - at >= HEADER_BYTES) {
      const end = at + HEADER_BYTES + all.readUInt32BE(at + 1)
      if (end > all.length) break
      found.push(all.subarray(at + HEADER_BYTES, end))
      at = end
    }
    this.#rest = all.subarray(at)
    return found
  }
}
