export {
  ADRLayer,
  type ADRLayerOptions,
  type ADROrder,
  VelocityNet,
  type VelocityNetOptions,
} from './adr-layer';
export { ADRNN, type ADRNNOptions } from './adrnn';
export { OfficialADRNet, type OfficialADRNetOptions } from './adrnn-official';
export {
  IMEXLayer,
  type IMEXLayerOptions,
  IMEXNet,
  type IMEXNetOptions,
  type IMEXVariant,
} from './imexnet';
export { MFCNet, type MFCNetOptions, type SpatialConvolution, TimeEmbedding } from './mfc-net';
export { MFCUNet, type MFCUNetOptions } from './mfc-unet';
export {
  type DiffusionReading,
  RDLayer,
  type RDLayerOptions,
  RDNN,
  type RDNNHead,
  type RDNNOptions,
  type RDOrder,
} from './rdnn';
