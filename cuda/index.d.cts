/** Path of the plug-in; fluxion opens it when a CUDA device is first asked for. */
export const library: string;
