// Generates proto/gen from proto/weir/v1/*.proto when a source is newer than what was made from it. Works offline.
import { execFileSync } from 'node:child_process'
import { existsSync, readdirSync, statSync, writeFileSync } from 'node:fs'

const protos = readdirSync('proto/weir/v1').filter((f) => f.endsWith('.proto'))
const sources = [...protos.map((f) => `proto/weir/v1/${f}`), 'proto/buf.gen.yaml', 'package-lock.json'].filter(
  existsSync,
)
const door = 'proto/gen/index.ts'
const newest = Math.max(...sources.map((f) => statSync(f).mtimeMs))
if (!existsSync(door) || statSync(door).mtimeMs < newest) {
  execFileSync('../node_modules/.bin/buf', ['generate'], { cwd: 'proto', stdio: ['ignore', 'inherit', 'inherit'] })
  writeFileSync(
    door,
    protos
      .map((f) => `export * as ${f.replace('.proto', '')} from './weir/v1/${f.replace('.proto', '.ts')}'\n`)
      .join(''),
  )
}
