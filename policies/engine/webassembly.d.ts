// The part of the WebAssembly API that the engine uses: TypeScript has it only in its browser library.
declare namespace WebAssembly {
  class Module {
    constructor(bytes: Uint8Array);
  }
  interface Instance {
    readonly exports: Readonly<Record<string, unknown>>;
  }
  interface Memory {
    readonly buffer: ArrayBuffer;
  }
  class LinkError extends Error {}
  class RuntimeError extends Error {}
  function compile(bytes: Uint8Array): Promise<Module>;
}
