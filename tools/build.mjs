// Generated code, then one `tsc -b` over the whole workspace with the native compiler. Type errors fail the build.
import { execFileSync } from 'node:child_process'
import './generate.mjs'

try {
  execFileSync(process.execPath, ['node_modules/typescript-native/bin/tsc', '-b', ...process.argv.slice(2)], {
    stdio: 'inherit',
  })
} catch (error) {
  process.exit(error.status ?? 1)
}
