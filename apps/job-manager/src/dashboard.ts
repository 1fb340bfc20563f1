/** The dashboard's files (the package `@weir/dashboard`, made by tools/build.mjs) at `/`. */
import fastifyStatic from '@fastify/static'
import type { NestFastifyApplication } from '@nestjs/platform-fastify'
import { existsSync } from 'node:fs'
import { createRequire } from 'node:module'
import { dirname, join } from 'node:path'

const FILES = join(dirname(createRequire(import.meta.url).resolve('@weir/dashboard/package.json')), 'dist')

/** Only files and REST of this server; a browser does not follow the 307 to another leader, and the page says so. */
const POLICY =
  "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"

/** Serves it where it has been built; from sources alone (tests) there is none. */
export async function serveDashboard(app: NestFastifyApplication): Promise<void> {
  if (!existsSync(FILES)) return
  await app
    .getHttpAdapter()
    .getInstance()
    .register(fastifyStatic, {
      root: FILES,
      // A route for each file: what is not there stays a problem with status 404, as everywhere else.
      wildcard: false,
      decorateReply: false,
      setHeaders: (reply) => {
        reply.header('content-security-policy', POLICY)
        reply.header('x-content-type-options', 'nosniff')
        reply.header('referrer-policy', 'no-referrer')
      },
    })
}
