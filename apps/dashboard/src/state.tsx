/** State of a job as of its last final epoch. */
import { useState, type ReactNode } from 'react'
import { get } from './api.ts'
import { Paged, type Page } from './paged.tsx'
import { Panel, Table } from './parts.tsx'
import { Shown, usePolled } from './polled.tsx'
import { time } from './view.ts'

interface StateView {
  readonly operatorUid: string
  readonly name: string
  readonly stage: number
  readonly schema: { readonly name: string; readonly version: number } | null
}
interface Overview {
  readonly epoch: number
  readonly triggeredAt: number
  readonly states: readonly StateView[]
}
interface Entry {
  readonly key: string | number
  readonly entry: string | number | null
  /** Of a window its end, ms since 1970; else 0. */
  readonly namespace: number
  readonly split: number | null
  readonly value: unknown
}

export function StateBrowser({ id }: { id: string }): ReactNode {
  const path = `jobs/${encodeURIComponent(id)}/state`
  const [chosen, setChosen] = useState<StateView | null>(null)
  const overview = usePolled(path, () => get<Overview>(path))
  return (
    <>
      <Shown of={overview}>
        {({ epoch, triggeredAt, states }) => (
          <Panel title="States" note={`as of epoch ${epoch}, its barrier ${time(triggeredAt)}`}>
            <Table
              label="States"
              empty="This job keeps none by key."
              columns={[{ head: 'Operator' }, { head: 'State' }, { head: 'Schema' }, { head: 'Stage', number: true }]}
              rows={states.map((state) => ({
                key: `${state.operatorUid}/${state.name}`,
                cells: [
                  state.operatorUid,
                  <button type="button" aria-pressed={state === chosen} onClick={() => setChosen(state)}>
                    {state.name}
                  </button>,
                  state.schema === null ? '–' : `${state.schema.name} ${state.schema.version}`,
                  state.stage,
                ],
              }))}
            />
          </Panel>
        )}
      </Shown>
      {chosen && (
        <Entries
          key={`${chosen.operatorUid}/${chosen.name}`}
          of={chosen}
          path={`${path}/${encodeURIComponent(chosen.operatorUid)}/${encodeURIComponent(chosen.name)}`}
        />
      )}
    </>
  )
}

function Entries({ of, path }: { of: StateView; path: string }): ReactNode {
  const [typed, setTyped] = useState('')
  const [key, setKey] = useState<string | null>(null)
  const ask = async (next: string | null): Promise<Page<Entry>> => {
    const page = `?limit=100${next === null ? '' : `&cursor=${encodeURIComponent(next)}`}`
    const { entries, next: after = null } = await get<{ entries: readonly Entry[]; next?: string | null }>(
      key === null ? path + page : `${path}/${encodeURIComponent(key)}`,
    )
    return { entries, next: after }
  }
  return (
    <Panel title={`${of.operatorUid}, ${of.name}`} note={key === null ? 'by key group, then by key' : `of ${key}`}>
      <form
        role="search"
        onSubmit={(event) => {
          event.preventDefault()
          setKey(typed === '' ? null : typed)
        }}
      >
        <label>
          Key <input type="search" value={typed} onChange={({ target }) => setTyped(target.value)} />
        </label>
        <button type="submit">Look up</button>
      </form>
      <Paged name={`${path}/${key ?? ''}`} ask={ask}>
        {(entries) => (
          <Table
            label="Entries"
            empty={key === null ? 'Nothing is kept.' : 'There is no such key.'}
            columns={[{ head: 'Key' }, { head: 'Entry' }, { head: 'Window ends' }, { head: 'Value' }]}
            rows={entries.map(({ key, entry, namespace, split, value }) => ({
              key: JSON.stringify([key, entry, namespace, split]),
              cells: [key, entry ?? '–', namespace === 0 ? '–' : time(namespace), <code>{JSON.stringify(value)}</code>],
            }))}
          />
        )}
      </Paged>
    </Panel>
  )
}
