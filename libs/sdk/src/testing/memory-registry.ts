/**
 * A schema registry in memory, for `testJob`: it takes whatever is registered or looked up, and judges no compatibility. What other
 * writers have registered is put there by the test: `registry.register('orders-value', { schemaType: 'AVRO', schema, references: [] })`.
 */
import type { RegistrySchema, SchemaRegistry, SchemaVersion } from '@weir/dataflow'
import { WeirError } from '@weir/model'

export class MemoryRegistry implements SchemaRegistry {
  readonly #subjects = new Map<string, SchemaVersion[]>()
  /** By what they say: a schema has one id, whatever the subject. */
  readonly #ids = new Map<string, number>()
  readonly #schemas: RegistrySchema[] = []

  byId(id: number): Promise<RegistrySchema> {
    const schema = this.#schemas[id - 1]
    return schema === undefined ? Promise.reject(unknown(`schema ${id}`)) : Promise.resolve(schema)
  }

  version(subject: string, version: number | 'latest'): Promise<SchemaVersion> {
    const found = this.#subjects.get(subject)?.at(version === 'latest' ? -1 : version - 1)
    return found === undefined ? Promise.reject(unknown(`${subject}, version ${version}`)) : Promise.resolve(found)
  }

  lookup(subject: string, schema: RegistrySchema): Promise<SchemaVersion> {
    return this.register(subject, schema)
  }

  register(subject: string, { schemaType, schema, references }: RegistrySchema): Promise<SchemaVersion> {
    const own = this.#subjects.get(subject) ?? []
    this.#subjects.set(subject, own)
    const id = this.#idOf({ schemaType, schema, references })
    const there = own.find((version) => version.id === id)
    if (there !== undefined) return Promise.resolve(there)
    const added = { schemaType, schema, references, id, version: own.length + 1 }
    own.push(added)
    return Promise.resolve(added)
  }

  #idOf(schema: RegistrySchema): number {
    const text = JSON.stringify(schema)
    let id = this.#ids.get(text)
    if (id === undefined) this.#ids.set(text, (id = this.#schemas.push(schema)))
    return id
  }
}

const unknown = (what: string): WeirError =>
  new WeirError({ code: 'SCHEMA_UNKNOWN', kind: 'invalid' }, `the registry of the test has no ${what}`)
