// Generates proto/gen from the .proto files when a source is newer than what was made from it. Works offline.
import { execFileSync } from 'node:child_process'
import { existsSync, readdirSync, statSync, writeFileSync } from 'node:fs'

// `weir`: our own wire. `tikv`: a subset of TiKV's, whose ids exceed 2^53, so that they are bigints.
generate({ folder: 'weir/v1', template: 'buf.gen.yaml', door: 'index.ts' })
generate({ folder: 'tikv', template: 'buf.gen.tikv.yaml', door: 'tikv.ts' })

function generate({ folder, template, door }) {
  const protos = readdirSync(`proto/${folder}`).filter((f) => f.endsWith('.proto'))
  const sources = [...protos.map((f) => `proto/${folder}/${f}`), `proto/${template}`, 'package-lock.json']
  const made = `proto/gen/${door}`
  const newest = Math.max(...sources.filter(existsSync).map((f) => statSync(f).mtimeMs))
  if (existsSync(made) && statSync(made).mtimeMs >= newest) return
  const args = ['generate', '--template', template, '--path', folder]
  execFileSync('../node_modules/.bin/buf', args, { cwd: 'proto', stdio: ['ignore', 'inherit', 'inherit'] })
  writeFileSync(
    made,
    protos
      .map((f) => `export * as ${f.replace('.proto', '')} from './${folder}/${f.replace('.proto', '.ts')}'\n`)
      .join(''),
  )
}
