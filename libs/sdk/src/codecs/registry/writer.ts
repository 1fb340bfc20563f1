/** The schema a sink writes with: under which subject it stands in the registry, and how it gets there. */
import type { CodecContext, RegistrySchema, SchemaRegistry, SchemaVersion } from '@weir/dataflow'
import { WeirError } from '@weir/model'

/** `topic`: `<topic>-value`, of keys `<topic>-key`; `record`: the full name of the type; `topic-record`: `<topic>-<full name>`. */
export type SubjectNameStrategy = 'topic' | 'record' | 'topic-record'

export interface WriterOptions {
  /** Default `topic`. */
  readonly subjects?: SubjectNameStrategy
  /** The sink registers its schema when it starts. Default false: it has to be registered, and its id is looked up. */
  readonly autoRegister?: boolean
  /** The subject's newest schema is the writer's, as it is when the sink starts. Default false. */
  readonly useLatestVersion?: boolean
}

/** Throws `OPTION_INVALID` (invalid). */
export function checkWriter({ subjects = 'topic', autoRegister, useLatestVersion }: WriterOptions): void {
  const strategies = ['topic', 'record', 'topic-record']
  if (!strategies.includes(subjects)) {
    throw invalid('subjects', `subjects is one of ${strategies.join(', ')}, not ${JSON.stringify(subjects)}`)
  }
  if (autoRegister === true && useLatestVersion === true) {
    throw invalid('useLatestVersion', 'autoRegister and useLatestVersion contradict each other; give one of them')
  }
}

/** @param name full name of the type; null: it has none */
function subjectOf(
  { topic, part = 'value' }: Pick<CodecContext, 'topic' | 'part'>,
  name: string | null,
  { subjects = 'topic' }: WriterOptions,
): string {
  if (subjects === 'topic') return `${topic}-${part}`
  if (name === null) {
    throw invalid(
      'subjects',
      `subjects: "${subjects}" needs the name of a record, and the schema has none; use "topic"`,
    )
  }
  return subjects === 'record' ? name : `${topic}-${name}`
}

export interface Writer {
  readonly schema: RegistrySchema
  /** Full name of the type; null: it has none. */
  readonly name: string | null
}

/** Its id, and the schema behind it. `own` null: only `useLatestVersion` can be. Throws as `SchemaRegistry`. */
export async function writerVersion(
  context: CodecContext,
  registry: SchemaRegistry,
  own: Writer | null,
  options: WriterOptions,
): Promise<SchemaVersion> {
  const { topic } = context
  const subject = subjectOf(context, own?.name ?? null, options)
  if (options.useLatestVersion) return registry.version(subject, 'latest')
  if (own === null) {
    throw invalid('schema', `the sink of "${topic}" has no schema to write with: give one, or useLatestVersion: true`)
  }
  if (options.autoRegister) return registry.register(subject, own.schema)
  try {
    return await registry.lookup(subject, own.schema)
  } catch (error) {
    if (!(error instanceof WeirError) || error.code !== 'SCHEMA_UNKNOWN') throw error
    throw new WeirError(
      { ...error.facts, code: 'SCHEMA_UNKNOWN', kind: 'invalid', subject },
      `the sink's schema is not registered under "${subject}": ${error.message}. Register it, or say autoRegister: true or useLatestVersion: true.`,
      { cause: error },
    )
  }
}

const invalid = (option: string, text: string): WeirError =>
  new WeirError({ code: 'OPTION_INVALID', kind: 'invalid', option }, `schema registry: ${text}`)
