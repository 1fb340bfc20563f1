// `npm run generate:schemas`: the JSON Schema of pipelines, as editors read it, from the code that checks them. Needs a build.
import { writeFileSync } from 'node:fs'
import { format } from 'prettier'
import { pipelineJsonSchema } from '../libs/pipeline/dist/index.js'

const file = 'libs/pipeline/schema/pipeline.json'
writeFileSync(file, await format(JSON.stringify(pipelineJsonSchema()), { parser: 'json', printWidth: 120 }))
