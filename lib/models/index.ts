export { RDLayer, type RDLayerOptions, RDNN, type RDNNOptions } from './rdnn';
