// Generates proto/gen from the .proto files when a source is newer than what was made from it. Works offline.
import { BinaryReader } from '@bufbuild/protobuf/wire'
import { execFileSync } from 'node:child_process'
import { existsSync, readFileSync, readdirSync, rmSync, statSync, writeFileSync } from 'node:fs'

const HEALTH = '../node_modules/grpc-health-check/proto'

// `weir`: our own wire. `tikv`: a subset of TiKV's, whose ids exceed 2^53, so that they are bigints.
generate({ folder: 'weir/v1', template: 'buf.gen.yaml', door: 'index.ts', descriptors: 'descriptors.ts' })
generate({ folder: 'tikv', template: 'buf.gen.tikv.yaml', door: 'tikv.ts' })

/** @param descriptors what server reflection tells, absent: nothing */
function generate({ folder, template, door, descriptors }) {
  const protos = readdirSync(`proto/${folder}`).filter((f) => f.endsWith('.proto'))
  const sources = [...protos.map((f) => `proto/${folder}/${f}`), `proto/${template}`, 'package-lock.json']
  const made = [door, descriptors].filter((file) => file !== undefined).map((file) => `proto/gen/${file}`)
  const newest = Math.max(...sources.filter(existsSync).map((f) => statSync(f).mtimeMs))
  if (made.every((file) => existsSync(file) && statSync(file).mtimeMs >= newest)) return
  buf('generate', '--template', template, '--path', folder)
  writeFileSync(
    `proto/gen/${door}`,
    protos
      .map((f) => `export * as ${f.replace('.proto', '')} from './${folder}/${f.replace('.proto', '.ts')}'\n`)
      .join(''),
  )
  if (descriptors !== undefined) writeFileSync(`proto/gen/${descriptors}`, described(folder))
}

/** With gRPC's health: what its package tells of itself names map entries as no protobuf compiler does, and Go refuses it. */
function described(folder) {
  const files = [...fileDescriptors('.', '--path', folder), ...fileDescriptors(HEALTH)]
  const doc = '/** Each .proto file as a FileDescriptorProto, base64. */'
  return `${doc}\nexport const descriptors: readonly string[] = ${JSON.stringify(files, null, 2)}\n`
}

function fileDescriptors(...of) {
  const set = 'gen/descriptors.binpb'
  buf('build', ...of, '--as-file-descriptor-set', '--exclude-source-info', '-o', set)
  const bytes = readFileSync(`proto/${set}`)
  rmSync(`proto/${set}`)
  const files = []
  // FileDescriptorSet has one field: repeated FileDescriptorProto file = 1.
  for (const reader = new BinaryReader(bytes); reader.pos < reader.len;) {
    reader.tag()
    files.push(Buffer.from(reader.bytes()).toString('base64'))
  }
  return files
}

function buf(...args) {
  execFileSync('../node_modules/.bin/buf', args, { cwd: 'proto', stdio: ['ignore', 'inherit', 'inherit'] })
}
