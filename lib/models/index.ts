export {
  ADRLayer,
  type ADRLayerOptions,
  ADRNN,
  type ADRNNOptions,
  type ADROrder,
  VelocityNet,
} from './adrnn';
export { OfficialADRNet, type OfficialADRNetOptions } from './adrnn-official';
export { RDLayer, type RDLayerOptions, RDNN, type RDNNOptions } from './rdnn';
