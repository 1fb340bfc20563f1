/** The place where a debugger stops by itself: one step further in is the function of the job. */
export function entered<R>(call: () => R, stops: boolean): R {
  // eslint-disable-next-line no-debugger -- what `weir debug --inspect-brk` is for
  if (stops) debugger
  return call()
}
