/** For editors: no token is needed for what says how a file is to be written. */
import { Controller, Get, Header } from '@nestjs/common'
import { ApiOkResponse, ApiOperation, ApiTags } from '@nestjs/swagger'
import { readFileSync } from 'node:fs'
import { createRequire } from 'node:module'

/** As it was published with this version. */
const PIPELINE = readFileSync(createRequire(import.meta.url).resolve('@weir/pipeline/schema.json'), 'utf8')

@ApiTags('schemas')
@Controller('schemas')
export class SchemasController {
  @Get('pipeline.json')
  @Header('content-type', 'application/schema+json')
  @Header('cache-control', 'max-age=3600')
  @ApiOperation({ summary: 'JSON Schema of a pipeline in YAML' })
  @ApiOkResponse({ content: { 'application/schema+json': { schema: { type: 'object' } } } })
  pipeline(): string {
    return PIPELINE
  }
}
