// The part of NVRTC and of the CUDA driver that the program calls, for tests: compiles with the C++ compiler, runs on the CPU.
//
// Built with -DFOLDER, where it finds device.h and puts what it compiles.

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <dlfcn.h>
#include <string>

struct Program {
    std::string source, library, log;
};

static int anything;

extern "C" {

int nvrtcCreateProgram(void **program, const char *source, const char *, int, const char *const *, const char *const *) {
    *program = new Program{source, "", ""};
    return 0;
}

int nvrtcCompileProgram(void *given, int count, const char *const *options) {
    Program &program = *(Program *)given;
    // A name of its own, also where this library was closed and opened again.
    std::string folder = FOLDER "/XXXXXX";
    if (!mkdtemp(folder.data())) return 1;
    std::string stem = folder + "/program";
    FILE *file = fopen((stem + ".cpp").c_str(), "w");
    if (!file) return 1;
    fputs("#include \"../device.h\"\n", file);
    fputs(program.source.c_str(), file);
    fclose(file);
    program.library = stem + ".so";
    // A fortified longjmp takes a jump to another stack for a fault.
    std::string command = "c++ -std=c++17 -O1 -w -shared -fPIC -U_FORTIFY_SOURCE";
    for (int at = 0; at < count; ++at)
        if (!strncmp(options[at], "-D", 2)) command += std::string(" ") + options[at];
    command += " -o " + program.library + " " + stem + ".cpp 2> " + stem + ".log";
    if (!system(command.c_str())) return 0;
    if (FILE *log = fopen((stem + ".log").c_str(), "r")) {
        char buffer[4096];
        program.log.assign(buffer, fread(buffer, 1, sizeof buffer, log));
        fclose(log);
    }
    return 6;
}

int nvrtcGetProgramLogSize(void *program, size_t *size) { return *size = ((Program *)program)->log.size() + 1, 0; }
int nvrtcGetProgramLog(void *program, char *log) { return strcpy(log, ((Program *)program)->log.c_str()), 0; }
int nvrtcGetCUBINSize(void *program, size_t *size) { return *size = ((Program *)program)->library.size() + 1, 0; }
int nvrtcGetCUBIN(void *program, char *code) { return strcpy(code, ((Program *)program)->library.c_str()), 0; }
int nvrtcDestroyProgram(void **program) { return delete (Program *)*program, *program = nullptr, 0; }

int cuDeviceGet(int *device, int index) { return *device = index, 0; }
int cuDeviceGetAttribute(int *value, int attribute, int) { return *value = attribute == 75 ? 9 : 0, 0; }
int cuDevicePrimaryCtxRetain(void **context, int) { return *context = &anything, 0; }

static void *current = nullptr;
int cuCtxPushCurrent_v2(void *context) { return current ? 1 : (current = context, 0); }
int cuCtxPopCurrent_v2(void **context) { return *context = current, current = nullptr, *context ? 0 : 1; }

int cuModuleLoadData(void **module, const void *code) {
    if (!current) return 201;
    return (*module = dlopen((const char *)code, RTLD_NOW)) ? 0 : 200;
}

struct Function {
    void (*kernel)(void **);
    bool (*launch)(void (*)(void **), void **, const unsigned *, unsigned);
};

int cuModuleGetFunction(void **function, void *module, const char *name) {
    auto *found = new Function;
    found->kernel = (void (*)(void **))dlsym(module, (std::string(name) + "_emulated").c_str());
    found->launch = (bool (*)(void (*)(void **), void **, const unsigned *, unsigned))dlsym(module, "launch");
    *function = found;
    return found->kernel && found->launch ? 0 : 500;
}

int cuLaunchKernel(void *given, unsigned x, unsigned y, unsigned z, unsigned threads, unsigned, unsigned, unsigned, void *,
                   void **arguments, void **) {
    if (!current) return 201;
    if (!x || !y || !z || y > 65535 || z > 65535) return 1;
    Function &function = *(Function *)given;
    unsigned blocks[3] = {x, y, z};
    return function.launch(function.kernel, arguments, blocks, threads) ? 0 : 719;
}

int cuGetErrorName(int error, const char **name) { return *name = error == 719 ? "LAUNCH_FAILED" : "ERROR", 0; }
}
