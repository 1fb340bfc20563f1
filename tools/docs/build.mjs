// `npm run docs:build`: the site of docs/, with a reference made of the code, into docs/.vitepress/dist. `npm run docs:dev` serves it. Dead links fail.
import { execFileSync } from 'node:child_process'
import { ensureBuilt, ensureInstalled, pinnedNode, root } from '../setup.mjs'

ensureInstalled()
const { writeReference } = await import('./reference.mjs') // needs what is installed
if (!process.argv.includes('--built')) ensureBuilt()
await writeReference()
const command = process.argv.includes('--dev') ? 'dev' : 'build'
execFileSync(pinnedNode(), ['node_modules/vitepress/bin/vitepress.js', command, 'docs'], {
  cwd: root,
  stdio: 'inherit',
})
