import { QueryClient, QueryClientProvider } from '@tanstack/react-query'
import { createRoot } from 'react-dom/client'
import { App } from './app.tsx'
import './style.css'
import { applyTheme, savedTheme } from './theme.tsx'

const root = document.getElementById('root')
if (root === null) throw new Error('index.html has no #root')
// Before the first paint, so that the page does not flash in the other theme.
applyTheme(savedTheme())
const client = new QueryClient({ defaultOptions: { queries: { retry: false } } })
createRoot(root).render(
  <QueryClientProvider client={client}>
    <App />
  </QueryClientProvider>,
)
