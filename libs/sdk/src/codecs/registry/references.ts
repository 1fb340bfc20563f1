/** Schemas that others refer to, found in the registry: each one once, and before those that need it. */
import type { RegistrySchema, SchemaReference, SchemaRegistry } from '@weir/dataflow'
import { WeirError } from '@weir/model'

/** Of one schema, itself not counted. */
const REFERENCES_MAX = 200

export interface ReferencedSchema extends SchemaReference {
  readonly schema: string
}

/** Throws as `SchemaRegistry`; `SCHEMA_INVALID` (invalid) where there are too many. */
export async function referencedSchemas(
  registry: SchemaRegistry,
  { references }: Pick<RegistrySchema, 'references'>,
): Promise<readonly ReferencedSchema[]> {
  const found: ReferencedSchema[] = []
  const seen = new Set<string>()
  const visit = async (all: readonly SchemaReference[]): Promise<void> => {
    for (const reference of all) {
      if (seen.has(reference.name)) continue
      seen.add(reference.name)
      if (seen.size > REFERENCES_MAX) {
        throw new WeirError(
          { code: 'SCHEMA_INVALID', kind: 'invalid', references: seen.size },
          `it refers to more than ${REFERENCES_MAX} others`,
        )
      }
      const version = await registry.version(reference.subject, reference.version)
      await visit(version.references)
      found.push({ ...reference, schema: version.schema })
    }
  }
  await visit(references)
  return found
}
