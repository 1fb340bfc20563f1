/** Kafka's primitive types (flexible encoding, KIP-482) over a growing buffer, and reading them back. */

export class Writer {
  #buf: Buffer
  #at = 0

  constructor(bytes = 256) {
    this.#buf = Buffer.allocUnsafe(bytes)
  }

  #room(n: number): number {
    const at = this.#at
    this.#at += n
    if (this.#at > this.#buf.length) {
      const grown = Buffer.allocUnsafe(Math.max(this.#buf.length * 2, this.#at))
      this.#buf.copy(grown, 0, 0, at)
      this.#buf = grown
    }
    return at
  }

  i8(v: number): this {
    const at = this.#room(1)
    this.#buf.writeInt8(v, at)
    return this
  }
  bool(v: boolean): this {
    return this.i8(v ? 1 : 0)
  }
  i16(v: number): this {
    const at = this.#room(2)
    this.#buf.writeInt16BE(v, at)
    return this
  }
  i32(v: number): this {
    const at = this.#room(4)
    this.#buf.writeInt32BE(v, at)
    return this
  }
  i64(v: bigint): this {
    const at = this.#room(8)
    this.#buf.writeBigInt64BE(v, at)
    return this
  }
  uvarint(v: number): this {
    let rest = v
    while (rest > 0x7f) {
      const at = this.#room(1)
      this.#buf[at] = (rest & 0x7f) | 0x80
      rest >>>= 7
    }
    const at = this.#room(1)
    this.#buf[at] = rest
    return this
  }
  raw(bytes: Uint8Array): this {
    const at = this.#room(bytes.length)
    this.#buf.set(bytes, at)
    return this
  }
  /** Length + 1 as uvarint; 0 is null. */
  string(s: string | null): this {
    if (s === null) return this.uvarint(0)
    const n = Buffer.byteLength(s)
    this.uvarint(n + 1)
    const at = this.#room(n)
    this.#buf.write(s, at, n, 'utf8')
    return this
  }
  bytes(b: Uint8Array): this {
    return this.uvarint(b.length + 1).raw(b)
  }
  array<T>(items: readonly T[], write: (item: T) => void): this {
    this.uvarint(items.length + 1)
    items.forEach(write)
    return this
  }
  /** No tagged fields. */
  tags(): this {
    return this.uvarint(0)
  }
  done(): Buffer {
    return this.#buf.subarray(0, this.#at)
  }
}

export class Reader {
  readonly buffer: Buffer
  at: number

  constructor(buffer: Buffer, at = 0) {
    this.buffer = buffer
    this.at = at
  }

  i8(): number {
    return this.buffer.readInt8(this.at++)
  }
  i16(): number {
    this.at += 2
    return this.buffer.readInt16BE(this.at - 2)
  }
  i32(): number {
    this.at += 4
    return this.buffer.readInt32BE(this.at - 4)
  }
  i64(): bigint {
    this.at += 8
    return this.buffer.readBigInt64BE(this.at - 8)
  }
  uvarint(): number {
    let value = 0
    for (let shift = 0; ; shift += 7) {
      const byte = this.buffer[this.at++]!
      value |= (byte & 0x7f) << shift
      if (byte < 0x80) return value >>> 0
    }
  }
  /** Zig-zag, 32 bits. */
  varint(): number {
    const v = this.uvarint()
    return (v >>> 1) ^ -(v & 1)
  }
  /** Zig-zag, up to 53 bits. */
  varlong(): number {
    let value = 0
    for (let scale = 1; ; scale *= 128) {
      const byte = this.buffer[this.at++]!
      value += (byte & 0x7f) * scale
      if (byte < 0x80) return value % 2 === 0 ? value / 2 : -(value + 1) / 2
    }
  }
  string(): string | null {
    const n = this.uvarint()
    if (n === 0) return null
    this.at += n - 1
    return this.buffer.toString('utf8', this.at - n + 1, this.at)
  }
  bytes(): Buffer | null {
    const n = this.uvarint()
    if (n === 0) return null
    this.at += n - 1
    return this.buffer.subarray(this.at - n + 1, this.at)
  }
  array<T>(read: () => T): T[] {
    const n = this.uvarint()
    const items: T[] = []
    for (let i = 1; i < n; i++) items.push(read())
    return items
  }
  tags(): void {
    for (let n = this.uvarint(); n > 0; n--) {
      this.uvarint()
      const size = this.uvarint()
      this.at += size
    }
  }
}
