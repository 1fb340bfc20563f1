/** Avro's binary encoding of one schema, without a header. With a schema registry: `registry.avro`. */
import type { Codec } from './codec.ts'
import { avroType, avroWriter, readAvro, type AvroOptions, type AvroSchema } from './avro-type.ts'

/**
 * Reading throws `DECODE_FAILED` (invalid) for bytes that are cut off, too long or no value of the schema. Writing throws
 * `ENCODE_FAILED` (invalid) naming the field; null becomes a tombstone. Throws `SCHEMA_INVALID` (invalid).
 *
 * Bytes are Buffers (any Uint8Array is written); a union whose branches a value cannot tell apart is `{ branch: value }`, any other
 * the value itself.
 */
export function avro<T = unknown>(schema: AvroSchema, options: AvroOptions = {}): Codec<T> {
  const type = avroType(schema, options)
  const write = avroWriter(type)
  return {
    decode: (buffer, start, end) => readAvro(type, buffer.subarray(start, end)),
    encode: (value) => (value === null ? null : write(value)),
    contentType: 'application/avro',
  }
}
