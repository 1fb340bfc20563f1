import type { BuildOptions } from 'esbuild'

/** @param outdir has nothing else in it afterwards; absolute, or from the root of the checkout */
export function bundle(entryPoints: readonly string[], outdir: string, options?: BuildOptions): Promise<void>
