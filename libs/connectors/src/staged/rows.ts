/** Rows in a staged chunk: each behind its length, u32 big-endian. */
const LENGTH_BYTES = 4

export function joinRows(rows: readonly Uint8Array[]): Buffer {
  const bytes = Buffer.allocUnsafe(rows.reduce((sum, row) => sum + LENGTH_BYTES + row.byteLength, 0))
  let at = 0
  for (const row of rows) {
    at = bytes.writeUInt32BE(row.byteLength, at)
    bytes.set(row, at)
    at += row.byteLength
  }
  return bytes
}

export function splitRows(bytes: Buffer): Buffer[] {
  const rows: Buffer[] = []
  for (let at = 0; at < bytes.length;) {
    const from = at + LENGTH_BYTES
    at = from + bytes.readUInt32BE(at)
    rows.push(bytes.subarray(from, at))
  }
  return rows
}
