/** A button that asks before it does anything. */
import { useMutation, useQueryClient } from '@tanstack/react-query'
import { useId, useRef, useState, type ReactNode } from 'react'
import { newKey } from './api.ts'

export interface Wish {
  /** On the button that asks; … is added. */
  readonly label: string
  readonly question: string
  readonly tells: string
  readonly confirm: string
  readonly refuse?: string
  readonly danger?: boolean
  readonly disabled?: boolean
  /** What has to be said with it. */
  readonly field?: {
    readonly label: string
    readonly initial: string
    readonly pattern: string
    readonly hint: string
    readonly optional?: boolean
  }
  /** Version of what the user decides on, taken when the dialog opens; absent: it does not matter. */
  basis?(): Promise<string | null>
  /** `key` is the same for every try in one open dialog: a retry is the same wish, and is done once. */
  run(said: string, key: string, version: string | null): Promise<void>
}

export function Ask({ wish }: { wish: Wish }): ReactNode {
  const { field } = wish
  const dialog = useRef<HTMLDialogElement>(null)
  const id = useId()
  const [key, setKey] = useState('')
  const [said, setSaid] = useState('')
  const [version, setVersion] = useState<Promise<string | null> | null>(null)
  const client = useQueryClient()
  const doing = useMutation({
    mutationFn: async () => wish.run(said, key, await version),
    onSuccess: async () => {
      dialog.current?.close()
      await client.invalidateQueries()
    },
  })
  const ask = (): void => {
    doing.reset()
    setKey(newKey())
    const basis = wish.basis?.() ?? null
    // Told where it is needed: when the wish is sent.
    basis?.catch(() => {})
    setVersion(basis)
    setSaid(field?.initial ?? '')
    dialog.current?.showModal()
  }
  return (
    <>
      <button type="button" disabled={wish.disabled} onClick={ask}>
        {wish.label}…
      </button>
      <dialog ref={dialog} aria-labelledby={`${id}-title`}>
        <form
          onSubmit={(event) => {
            event.preventDefault()
            doing.mutate()
          }}
        >
          <h2 id={`${id}-title`}>{wish.question}</h2>
          <p>{wish.tells}</p>
          {field && (
            <label>
              {field.label}
              <input
                value={said}
                onChange={(event) => setSaid(event.target.value)}
                pattern={field.pattern}
                required={!field.optional}
                title={field.hint}
                autoComplete="off"
              />
              <small>{field.hint}</small>
            </label>
          )}
          {doing.error && <p role="alert">{doing.error.message}</p>}
          <p className="choices">
            <button type="button" onClick={() => dialog.current?.close()}>
              {wish.refuse ?? 'Leave it'}
            </button>
            <button type="submit" className={wish.danger ? 'danger' : 'primary'} disabled={doing.isPending}>
              {wish.confirm}
            </button>
          </p>
        </form>
      </dialog>
    </>
  )
}
