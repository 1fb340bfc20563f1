/** Types of tikv-clients.mjs for tests. */
export type TikvClientName = 'client-go' | 'tikv-client-java' | 'tikv-client (Python)'
/** Builds it once; the command that starts it, which PD's addresses and the api version follow. */
export const clients: Readonly<Record<TikvClientName, () => readonly string[]>>
