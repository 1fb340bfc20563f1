/** Writes docs/CLI.md. */
import { writeFileSync } from 'node:fs'
import { reference } from './reference.ts'

writeFileSync(new URL('../../../../docs/CLI.md', import.meta.url), reference())
