/**
 * The few functions of ONNX Runtime's C API that a session needs, called through koffi in the library that `onnxruntime-node` ships. They stand in a table whose
 * order never changes: functions are only added at its end.
 * https://github.com/microsoft/onnxruntime/blob/main/include/onnxruntime/core/session/onnxruntime_c_api.h
 */
import { readdirSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import koffi from 'koffi';

/** A table of this version has all of the functions below; every later library can give it. */
const API_VERSION = 17;
const TABLE_SIZE = 169;

const PATH = process.platform === 'win32' ? 'const char16_t *' : 'const char *';
const POINTER = 'void *';
const TEXT = 'const char *';

/** An address, or an array whose memory is meant: read, or written to by the function. */
export type Argument = bigint | number | string | BigUint64Array | BigInt64Array | Float32Array | Int32Array | null;

type Checked = (...args: readonly Argument[]) => void;

/** @throws Error when the library, or koffi's for this platform, cannot be loaded */
export function openApi() {
  const library = koffi.load(libraryPath());
  const base: unknown = library.func('OrtGetApiBase', POINTER, [])();
  const getApi: unknown = koffi.decode(base, POINTER);
  const table: unknown = koffi.decode(koffi.call(getApi, koffi.proto(POINTER, ['uint32_t']), API_VERSION), koffi.array(POINTER, TABLE_SIZE));
  if (!Array.isArray(table)) throw new Error(`the ONNX Runtime library has no C API of version ${API_VERSION}`);
  const at = (slot: number, result: string, parameters: readonly string[]): ((...args: readonly Argument[]) => unknown) => koffi.decode(table[slot], koffi.proto(result, [...parameters])) as (...args: readonly Argument[]) => unknown; // a function of that prototype

  const messageOf = at(2, TEXT, [POINTER]);
  const releaseStatus = at(93, 'void', [POINTER]);
  /** One that reports by its status. */
  const checked = (slot: number, ...parameters: readonly string[]): Checked => {
    const call = at(slot, POINTER, parameters);
    return (...args) => {
      const status = call(...args);
      if (typeof status !== 'bigint') return;
      const message = String(messageOf(status));
      releaseStatus(status);
      throw new Error(message);
    };
  };
  const release = (slot: number) => at(slot, 'void', [POINTER]);

  return {
    /** Held on to: koffi unloads a library that nothing refers to. */
    library,
    createEnv: checked(3, 'int', TEXT, POINTER),
    createSession: checked(7, POINTER, PATH, POINTER, POINTER),
    run: checked(9, POINTER, POINTER, POINTER, POINTER, 'size_t', POINTER, 'size_t', POINTER),
    createSessionOptions: checked(10, POINTER),
    disableMemPattern: checked(17, POINTER),
    setSessionLogSeverityLevel: checked(22, POINTER, 'int'),
    setSessionGraphOptimizationLevel: checked(23, POINTER, 'int'),
    setIntraOpNumThreads: checked(24, POINTER, 'int'),
    setInterOpNumThreads: checked(25, POINTER, 'int'),
    sessionGetInputCount: checked(30, POINTER, POINTER),
    sessionGetInputName: checked(36, POINTER, 'size_t', POINTER, POINTER),
    createTensorWithDataAsOrtValue: checked(49, POINTER, POINTER, 'size_t', POINTER, 'size_t', 'int', POINTER),
    createCpuMemoryInfo: checked(69, 'int', 'int', POINTER),
    allocatorFree: checked(76, POINTER, POINTER),
    getAllocatorWithDefaultOptions: checked(78, POINTER),
    addSessionConfigEntry: checked(130, POINTER, TEXT, TEXT),
    addInitializer: checked(150, POINTER, TEXT, POINTER),
    createPrepackedWeightsContainer: checked(166, POINTER),
    createSessionWithPrepackedWeightsContainer: checked(168, POINTER, PATH, POINTER, POINTER, POINTER),
    releaseEnv: release(92),
    releaseSession: release(95),
    releaseValue: release(96),
    releaseSessionOptions: release(100),
    /** Where an array's memory lies. It stays there as long as the array lives. */
    addressOf: (array: Exclude<Argument, number | string | null | bigint> | Uint8Array): bigint => koffi.address(array),
    textAt: (address: bigint): string => koffi.decode.string(address),
  };
}

export type OrtApi = ReturnType<typeof openApi>;

function libraryPath(): string {
  const require = createRequire(import.meta.url);
  const directory = join(dirname(require.resolve('onnxruntime-node/package.json')), 'bin', 'napi-v6', process.platform, process.arch);
  const name = readdirSync(directory).find((file) => /^(lib)?onnxruntime\.(so\.\d+|1\.dylib|dll)$/.test(file));
  if (name === undefined) throw new Error(`no ONNX Runtime library in ${directory}`);
  return join(directory, name);
}
