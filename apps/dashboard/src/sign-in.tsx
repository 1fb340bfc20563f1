/** Shown instead of a page that REST does not let us see. */
import { useQueryClient } from '@tanstack/react-query'
import { useState, useSyncExternalStore, type ReactNode } from 'react'
import { enter, refusalNow, subscribe } from './session.ts'

export function SignedIn({ children }: { children: ReactNode }): ReactNode {
  const refusal = useSyncExternalStore(subscribe, refusalNow)
  return refusal === null ? children : <SignIn why={refusal} />
}

function SignIn({ why }: { why: string }): ReactNode {
  const [typed, setTyped] = useState('')
  const client = useQueryClient()
  return (
    <form
      className="panel"
      onSubmit={(event) => {
        event.preventDefault()
        client.clear()
        enter(typed.trim())
      }}
    >
      <h1>Sign in</h1>
      <p className="quiet">{why}</p>
      <label>
        Bearer token
        <input
          type="password"
          value={typed}
          onChange={({ target }) => setTyped(target.value)}
          required
          autoComplete="off"
        />
        <small>From your OIDC issuer, with a role of Weir. It is kept until this tab is closed.</small>
      </label>
      <p className="choices">
        <button type="submit" className="primary">
          Sign in
        </button>
      </p>
    </form>
  )
}
