/** Numbers as `FlatPacker` packs them, read where they lie: a call of msgpackr takes longer than all else that is done for a record. */

/** A head and a float64. */
export const NUMBER_BYTES_MAX = 9

export function isNumberAt(bytes: Uint8Array, at: number): boolean {
  const head = bytes[at]!
  return head < 0x80 || head >= 0xe0 || (head >= 0xcb && head <= 0xce) || (head >= 0xd0 && head <= 0xd2)
}

/** Undefined: something else lies there. */
export function numberIn(bytes: Buffer, at: number): number | undefined {
  const head = bytes[at]!
  if (head < 0x80) return head
  if (head >= 0xe0) return head - 0x100
  switch (head) {
    case 0xcb:
      return bytes.readDoubleBE(at + 1)
    case 0xcc:
      return bytes[at + 1]!
    case 0xcd:
      return (bytes[at + 1]! << 8) | bytes[at + 2]!
    case 0xce:
      return ((bytes[at + 1]! << 24) | (bytes[at + 2]! << 16) | (bytes[at + 3]! << 8) | bytes[at + 4]!) >>> 0
    case 0xd0:
      return (bytes[at + 1]! << 24) >> 24
    case 0xd1:
      return ((bytes[at + 1]! << 24) | (bytes[at + 2]! << 16)) >> 16
    case 0xd2:
      return (bytes[at + 1]! << 24) | (bytes[at + 2]! << 16) | (bytes[at + 3]! << 8) | bytes[at + 4]!
    default:
      return undefined
  }
}
