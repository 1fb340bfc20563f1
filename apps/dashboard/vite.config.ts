import react from '@vitejs/plugin-react'
import { defineConfig } from 'vite'

// Nothing inline: the page's policy allows only files of the job-manager.
export default defineConfig({
  root: import.meta.dirname,
  plugins: [react()],
  build: { outDir: 'dist', emptyOutDir: true, assetsInlineLimit: 0, modulePreload: { polyfill: false } },
})
