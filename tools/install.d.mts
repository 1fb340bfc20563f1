/** Where this user's programs and archives lie; `WEIR_STACK_DIR` moves it. */
export const cache: string
export const bin: string
export function say(text: string): void
/** Installs Debian packages unless `command probe` runs; ends the process, saying what is missing, where it cannot. */
export function need(command: string | (() => string), probe: string, packages: readonly string[]): void
/** Builds a program from the Go module proxy into `bin`, once per version; ends the process where that fails. */
export function goBinary(name: string, version: string, packagePath: string): void
/** A virtual environment of Python 3 with these packages, made once per name. @returns its interpreter */
export function pythonWith(name: string, packages: readonly string[]): string
