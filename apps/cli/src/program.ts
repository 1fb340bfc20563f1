/** `weir`: docs/CLI.md has the commands, `cli/commands.ts` is what that is made of. */
import { asWeirError, secretSetting } from '@weir/model'
import { JobsClient, tlsSettings } from '@weir/wire'
import { readFileSync } from 'node:fs'
import { help } from './cli/help.ts'
import { parse } from './cli/parse.ts'
import { RUN, exitCodeOf } from './cli/run.ts'
import { usageOf } from './usage.ts'

async function main(argv: readonly string[], env: NodeJS.ProcessEnv): Promise<number> {
  const parsed = parse(argv)
  if (parsed.kind === 'help') {
    console.log(help(parsed.commands))
    return parsed.asked ? 0 : 2
  }
  const { name, args, values } = parsed
  let client: JobsClient | undefined
  const secret = (of: string): string | null => secretSetting(of, { env, read: (path) => readFileSync(path, 'utf8') })
  try {
    return await RUN[name]({
      ...{ args, values, env },
      client() {
        const addresses = values['job-manager'] ?? env['WEIR_JOB_MANAGERS'] ?? '127.0.0.1:7070'
        const token = values.token ?? secret('WEIR_FLEET_TOKEN')
        const bearer = secret('WEIR_BEARER_TOKEN')
        return (client ??= new JobsClient(addresses.split(','), { token, bearer, tls: tlsSettings(env) }))
      },
      print: (value, text) => console.log(values.json ? JSON.stringify(value) : text),
      note: (text) => console.error(`note: ${text}`),
    })
  } catch (thrown) {
    throw usageOf(name, asWeirError(thrown, 'INTERNAL'))
  } finally {
    client?.close()
  }
}

try {
  process.exitCode = await main(process.argv.slice(2), process.env)
} catch (thrown) {
  const error = asWeirError(thrown, 'INTERNAL')
  const json = process.argv.includes('--json')
  console.error(json ? JSON.stringify(error.toJSON()) : `${error.code}: ${error.message}`)
  process.exitCode = exitCodeOf(error)
}
