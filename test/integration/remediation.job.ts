/** The example, with a degrade switch: the pages of alerts speak of one. */
import payments from '../../apps/examples/src/02-payments.ts'

export default { ...payments, settings: { ...payments.settings, degradable: true } }
