// The declarations as a CommonJS program sees them.
import fluxion = require('fluxion');

const t: fluxion.Tensor = fluxion.zeros([2, 3]);
const model: fluxion.nn.Module = new fluxion.nn.Linear(3, 1);
const code: fluxion.ErrorCode = 'FLUXION_UNSUPPORTED';

export { code, model, t };
