// npm 10 does not link the bins of optional dependencies, npm 11 does. Every `npm run` must find the pinned Node as
// `node`, so the link is made here for both.
import { existsSync, mkdirSync, rmSync, symlinkSync } from 'node:fs'

const pkg = `node-${process.platform}-${process.arch}`
if (existsSync(`node_modules/${pkg}/bin/node`)) {
  mkdirSync('node_modules/.bin', { recursive: true })
  rmSync('node_modules/.bin/node', { force: true })
  symlinkSync(`../${pkg}/bin/node`, 'node_modules/.bin/node')
} else if (Number(process.versions.node.split('.')[0]) < 24) {
  console.warn(
    `weir: no pinned Node for ${process.platform}-${process.arch}; install Node >= 24 yourself (running ${process.version})`,
  )
}
