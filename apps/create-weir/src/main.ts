#!/usr/bin/env node
/** `npm create weir [FOLDER]`. Exit codes: 0 done, 2 wrong usage. */
import { CreateError, create } from './create.ts'

const NODE_MIN = 24

async function main(): Promise<number> {
  const [folder, ...others] = process.argv.slice(2)
  if (folder === '--help' || folder === '-h' || others.length > 0) {
    console.log('npm create weir [FOLDER]     a project with a job, its test and its deployment; default: weir-app')
    return others.length > 0 ? 2 : 0
  }
  const target = folder ?? 'weir-app'
  const { files } = await create(target)
  console.log(`${files.map((file) => `  ${target}/${file}`).join('\n')}

Now:
  cd ${target}
  npm install
  npm test            the job's test, without a server
  npm run dev         the job itself, without a server; it prints the address of its dashboard`)
  if (Number(process.versions.node.split('.')[0]) < NODE_MIN)
    console.log(
      `\nWeir needs Node ${NODE_MIN} or newer, and this is ${process.version}: install it first (nodejs.org, nvm, fnm).`,
    )
  return 0
}

try {
  process.exitCode = await main()
} catch (thrown) {
  if (!(thrown instanceof CreateError)) throw thrown
  console.error(`create-weir: ${thrown.message}`)
  process.exitCode = 2
}
