/** The same state through a line of 100 Mbit/s to the object store, compressed with zstd-3 and with lz4: seconds until it is stored. */
import { PatientUpload, S3ObjectStore } from '@weir/metadata'
import { systemClock, systemRandom } from '@weir/runtime/system'
import { compressSync as lz4 } from 'lz4-napi'
import { Toxic } from '../e2e/toxic.ts'
import { stackEndpoints } from '../stack/endpoints.ts'
import { CHUNK_BYTES, jsonOf, ROUNDS, zstd } from './checkpoint.state.ts'
import { atLeast, figure, median, say, type Figure } from './lib/figures.ts'

const STATE_BYTES = 64 * 1024 * 1024
const LINE_BYTES_PER_SECOND = 100e6 / 8
const CODECS = { zstd, lz4: (bytes: Buffer): Buffer => lz4(bytes) }

export async function uploadFigures(): Promise<readonly Figure[]> {
  const { url, bucket, accessKey, secretKey } = stackEndpoints().s3
  const { hostname, port } = new URL(url)
  const line = await Toxic.before(hostname, Number(port))
  line.bytesPerSecond = LINE_BYTES_PER_SECOND
  const objects = new S3ObjectStore({
    ...{ endpoint: `http://${line.address}`, region: 'us-east-1', bucket },
    prefix: `bench-${systemRandom.nonce().slice(0, 8)}/`,
    credentials: { accessKeyId: accessKey, secretAccessKey: secretKey },
  })
  const json = jsonOf(STATE_BYTES)
  const seconds = { zstd: [] as number[], lz4: [] as number[] }

  async function stored(codec: keyof typeof CODECS): Promise<number> {
    const began = performance.now()
    const patience = { clock: systemClock, signal: new AbortController().signal, budgetMs: 60_000 }
    const upload = new PatientUpload(objects, codec, patience)
    for (let at = 0; at < json.length; at += CHUNK_BYTES)
      await upload.write(CODECS[codec](json.subarray(at, at + CHUNK_BYTES)))
    await upload.finish()
    return (performance.now() - began) / 1_000
  }
  try {
    for (let i = 0; i < ROUNDS; i++)
      for (const codec of ['zstd', 'lz4'] as const) seconds[codec].push(await stored(codec))
    say(`upload: ${JSON.stringify(seconds)}`)
  } finally {
    line.bytesPerSecond = Infinity
    for (const key of await objects.list('')) await objects.delete(key)
    await objects.close()
    await line.close()
  }
  const ratios = seconds.zstd.map((of, i) => seconds.lz4[i]! / of)
  return [
    atLeast('upload at 100 Mbit/s, lz4 / zstd-3, seconds', median(ratios), 1.4),
    figure('upload at 100 Mbit/s, zstd-3, s', median(seconds.zstd)),
    figure('upload at 100 Mbit/s, lz4, s', median(seconds.lz4)),
  ]
}
