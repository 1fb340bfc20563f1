/** The description of the API at /docs: what Nest says of the controllers, made OpenAPI 3.1 and true for every answer. */
import type { NestFastifyApplication } from '@nestjs/platform-fastify'
import { DocumentBuilder, SwaggerModule, type OpenAPIObject } from '@nestjs/swagger'
import { SAVEPOINT_NAME } from '@weir/checkpoint'
import { JOB_ID, WeirError } from '@weir/model'
import { problem, problemSchema } from './problem.ts'

/** Also answers 405 where a path is asked with a method it does not have. To be called before the application listens. */
export async function describeApi(app: NestFastifyApplication): Promise<OpenAPIObject> {
  const title = new DocumentBuilder()
    .setTitle('Weir')
    .setDescription('Jobs, checkpoints and the fleet. Who does not lead answers 307 with the address of the leader.')
    .setVersion('1')
    .setOpenAPIVersion('3.1.0')
    .addBearerAuth({
      type: 'http',
      scheme: 'bearer',
      description: 'A token of the issuer (WEIR_OIDC_ISSUER), or WEIR_FLEET_TOKEN, where the fleet has them',
    })
    .build()
  const document = SwaggerModule.createDocument(app, title)
  for (const [path, item] of Object.entries(document.paths)) if (path.startsWith('/api/')) complete(item)
  for (const name of bodiesOf(document))
    Object.assign(document.components!.schemas![name]!, { additionalProperties: false })
  document.components = { ...document.components, schemas: { ...document.components?.schemas, Problem: problemSchema } }
  const described = without30(document) as OpenAPIObject
  SwaggerModule.setup('docs', app, described)
  refuseRepeated(app)
  await app.init()
  refuseOthers(app, described)
  return described
}

interface Operation {
  readonly parameters?: { readonly name: string; readonly in: string; schema?: object }[]
  responses: Record<string, object>
  security?: object[]
}

/** Names of what is sent: a field that means nothing is refused, not left out silently. */
function bodiesOf({ paths }: OpenAPIObject): string[] {
  const refs = JSON.stringify(
    Object.values(paths).flatMap((item) =>
      Object.values(item as object).map((o: { requestBody?: object }) => o.requestBody ?? null),
    ),
  )
  return [...refs.matchAll(/#\/components\/schemas\/(\w+)/g)].map(([, name]) => name!)
}

function complete(item: object): void {
  for (const operation of Object.values(item) as Operation[]) {
    operation.security = [{}, { bearer: [] }]
    operation.responses = {
      ...operation.responses,
      307: { description: 'Somebody else leads: `location` says who' },
      default: {
        description: 'What is wrong, and what to do',
        content: { 'application/problem+json': { schema: { $ref: '#/components/schemas/Problem' } } },
      },
    }
    for (const parameter of operation.parameters ?? []) {
      // What Nest knows no type of would be anything, lists too.
      if (!('type' in (parameter.schema ?? {}))) parameter.schema = { type: 'string' }
      if (parameter.in !== 'path') continue
      if (parameter.name === 'id') parameter.schema = { type: 'string', pattern: JOB_ID.source }
      if (parameter.name === 'name') parameter.schema = { type: 'string', pattern: SAVEPOINT_NAME.source }
    }
  }
}

/** `nullable`, and a bound that a flag excludes, are of 3.0; since 3.1 null is a type, and the excluded bound a number. */
function without30(part: unknown): unknown {
  if (Array.isArray(part)) return part.map(without30)
  if (typeof part !== 'object' || part === null) return part
  const { nullable, ...rest } = withExcludedBound(part as Record<string, unknown>)
  const clean = Object.fromEntries(Object.entries(rest).map(([key, value]) => [key, without30(value)]))
  if (nullable !== true) return clean
  if (Array.isArray(clean['enum'])) return { ...clean, type: [clean['type'], 'null'], enum: [...clean['enum'], null] }
  if (typeof clean['type'] === 'string') return { ...clean, type: [clean['type'], 'null'] }
  return { anyOf: [clean, { type: 'null' }] }
}

function withExcludedBound(schema: Record<string, unknown>): Record<string, unknown> {
  const { minimum, ...rest } = schema
  return schema['exclusiveMinimum'] === true ? { ...rest, exclusiveMinimum: minimum } : schema
}

function refuseOthers(app: NestFastifyApplication, { paths }: OpenAPIObject): void {
  const server = app.getHttpAdapter().getInstance()
  for (const [path, item] of Object.entries(paths)) {
    const has = Object.keys(item).map((method) => method.toUpperCase())
    if (has.includes('GET')) has.push('HEAD')
    const allow = has.join(', ')
    server.route({
      method: server.supportedMethods.filter((method) => !has.includes(method)),
      url: path.replace(/\{(\w+)\}/g, ':$1'),
      // In front of the body: whatever it is, it is not looked at.
      onRequest: ({ method }, reply) => {
        const error = new WeirError(
          { code: 'METHOD_NOT_ALLOWED', kind: 'invalid', method, allow },
          `${method} does nothing here; ${path} has ${allow}`,
        )
        problem(reply.header('allow', allow), error)
      },
      handler: (_, reply) => reply.send(),
    })
  }
}

/** No parameter of a query is a list: which of two is meant nobody knows. */
function refuseRepeated(app: NestFastifyApplication): void {
  const server = app.getHttpAdapter().getInstance()
  server.addHook('preValidation', (request, reply, done) => {
    const [name] = Object.entries(request.query as object).find(([, value]) => Array.isArray(value)) ?? []
    if (name === undefined) return done()
    problem(
      reply,
      new WeirError({ code: 'QUERY_INVALID', kind: 'invalid', name }, `${name} is there more than once; give it once`),
    )
  })
}
