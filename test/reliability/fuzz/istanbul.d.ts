// The part of istanbul-lib-instrument that the fuzzer uses; the package has no types of its own.
declare module 'istanbul-lib-instrument' {
  export function createInstrumenter(options: { compact: boolean; esModules: boolean }): {
    instrumentSync(code: string, filename: string): string;
  };
}
