export {
  ADRLayer,
  type ADRLayerOptions,
  ADRNN,
  type ADRNNOptions,
  type ADROrder,
  VelocityNet,
} from './adrnn';
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
