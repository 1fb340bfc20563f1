import { useState, type ReactNode } from 'react'

const THEMES = ['system', 'light', 'dark'] as const
export type Theme = (typeof THEMES)[number]
const STORED_AS = 'weir-theme'

/** What the user chose last in this browser; `system` where nothing valid is kept, or nothing can be. */
export function savedTheme(): Theme {
  try {
    const saved = localStorage.getItem(STORED_AS)
    return THEMES.find((theme) => theme === saved) ?? 'system'
  } catch {
    return 'system'
  }
}

/** `system` leaves it to `prefers-color-scheme`. */
export function applyTheme(theme: Theme): void {
  document.documentElement.dataset['theme'] = theme
}

export function ThemeToggle(): ReactNode {
  const [theme, setTheme] = useState(savedTheme)
  const change = (): void => {
    const next = THEMES[(THEMES.indexOf(theme) + 1) % THEMES.length] ?? 'system'
    applyTheme(next)
    setTheme(next)
    try {
      localStorage.setItem(STORED_AS, next)
    } catch {
      // Storage is switched off: the choice holds until the page is left.
    }
  }
  return (
    <button type="button" onClick={change}>
      Theme: {theme}
    </button>
  )
}
