/* A CUDA driver for tests, libcuda.so.1: what numba-cuda calls of it, for devices whose memory is a file.

   Allocations come from one mapping of the file DRIVER_ARENA, which another process may map too. They are never
   used twice: copies and launches outside of live ones are errors, and what is freed is overwritten. A launch is
   handed to a function that driver_on_launch sets. DRIVER_GPUS is the number of devices, DRIVER_MULTIPROCESSORS that
   of each (1), DRIVER_FAIL the name of a function that fails with error 46 (CUDA_ERROR_DEVICES_UNAVAILABLE), and
   DRIVER_LOG a file for the contexts that are made. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

typedef int Result;
typedef void *Handle;
#define API __attribute__((visibility("default")))
enum { INVALID = 1, OUT_OF_MEMORY = 2, NO_CONTEXT = 201, UNAVAILABLE = 46, NOT_FOUND = 500, FAILED = 719 };

/* ---------------------------------------------------------------- devices */
static int devices(void) {
    char *count = getenv("DRIVER_GPUS");
    return count ? atoi(count) : 1;
}
static int fails(const char *name) {
    char *failing = getenv("DRIVER_FAIL");
    return failing && !strcmp(failing, name);
}
static int initialised;
API int driver_initialised(void) { return initialised; }
API Result cuInit(unsigned flags) {
    initialised = 1;
    return fails("cuInit") ? UNAVAILABLE : devices() ? 0 : 100;
}
API Result cuDriverGetVersion(int *version) { *version = 13000; return 0; }
API Result cuDeviceGetCount(int *count) { *count = devices(); return 0; }
API Result cuDeviceGet(int *device, int ordinal) { *device = ordinal; return ordinal < devices() ? 0 : 101; }
API Result cuDeviceGetName(char *name, int length, int device) { strncpy(name, "Driver for tests", length); return 0; }
API Result cuDeviceTotalMem_v2(size_t *size, int device) { *size = 16ull << 30; return 0; }
API Result cuDeviceGetUuid_v2(char *uuid, int device) { memset(uuid, device + 1, 16); return 0; }
API Result cuDeviceGetUuid(char *uuid, int device) { return cuDeviceGetUuid_v2(uuid, device); }
API Result cuDeviceGetAttribute(int *value, int attribute, int device) {
    static const int known[][2] = {
        {1, 1024}, {2, 1024}, {3, 1024}, {4, 64}, {5, 2147483647}, {6, 65535}, {7, 65535}, {8, 49152}, {10, 32},
        {12, 65536}, {13, 1980000}, {16, 1}, {36, 3201000}, {37, 6144}, {39, 2048}, {75, 9}, {76, 0}, {81, 233472},
        {82, 65536}, {95, 1}, {97, 232448}, {106, 32}};
    *value = 1;
    for (size_t k = 0; k < sizeof known / sizeof known[0]; k++)
        if (known[k][0] == attribute) *value = known[k][1];
    char *multiprocessors = getenv("DRIVER_MULTIPROCESSORS");
    if (attribute == 16 && multiprocessors) *value = atoi(multiprocessors);
    return 0;
}

/* ---------------------------------------------------------------- contexts: a stack for each thread */
static __thread Handle stack[64];
static __thread int top = 0;
static Handle context_of(int device) { return (Handle)(intptr_t)(0x1000 + device); }
static int device_of(Handle context) { return (int)((intptr_t)context - 0x1000); }
API Result cuDevicePrimaryCtxRetain(Handle *context, int device) {
    char *log = getenv("DRIVER_LOG");
    if (log) {
        FILE *file = fopen(log, "a");
        fprintf(file, "%d %d\n", (int)getpid(), device);
        fclose(file);
    }
    *context = context_of(device);
    return fails("cuDevicePrimaryCtxRetain") ? UNAVAILABLE : 0;
}
API Result cuDevicePrimaryCtxRelease_v2(int device) { return 0; }
API Result cuDevicePrimaryCtxGetState(int device, unsigned *flags, int *active) { *flags = 0; *active = 1; return 0; }
API Result cuCtxGetCurrent(Handle *context) { *context = top ? stack[top - 1] : 0; return 0; }
API Result cuCtxSetCurrent(Handle context) {
    if (top) stack[top - 1] = context;
    else if (context) stack[top++] = context;
    return 0;
}
API Result cuCtxPushCurrent_v2(Handle context) { stack[top++] = context; return 0; }
API Result cuCtxPopCurrent_v2(Handle *context) {
    if (!top) return NO_CONTEXT;
    *context = stack[--top];
    return 0;
}
API Result cuCtxGetDevice(int *device) {
    if (!top) return NO_CONTEXT;
    *device = device_of(stack[top - 1]);
    return 0;
}
API Result cuCtxSynchronize(void) { return 0; }

/* ---------------------------------------------------------------- memory */
typedef struct { uint64_t begin; size_t size; int live, device; } Block;
static const uint64_t START = 0x300000000000;
static const size_t WHOLE = 16ull << 30;
static Block *blocks;
static size_t count_of_blocks, room, used;
static int open_arena(void) {
    char *path = getenv("DRIVER_ARENA");
    int file = path ? open(path, O_RDWR | O_CREAT, 0600) : -1;
    if (file < 0 || ftruncate(file, WHOLE)) return 0;
    void *at = mmap((void *)START, WHOLE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED_NOREPLACE, file, 0);
    close(file);
    return at == (void *)START;
}
static Block *block_of(uint64_t pointer) {
    for (size_t k = count_of_blocks; k-- > 0;)
        if (blocks[k].begin <= pointer && pointer < blocks[k].begin + (blocks[k].size ? blocks[k].size : 1)) return blocks + k;
    return 0;
}
/* Whether all of these bytes are in one live allocation. */
API int driver_is_live(uint64_t pointer, size_t size) {
    Block *block = block_of(pointer);
    return size == 0 || (block && block->live && pointer + size <= block->begin + block->size);
}
API Result cuMemAlloc_v2(uint64_t *pointer, size_t size) {
    if (!top) return NO_CONTEXT;
    if (!used && !open_arena()) return OUT_OF_MEMORY;
    if (used + size > WHOLE) return OUT_OF_MEMORY;
    if (count_of_blocks == room) blocks = realloc(blocks, (room = 2 * room + 1024) * sizeof *blocks);
    blocks[count_of_blocks++] = (Block){START + used, size, 1, device_of(stack[top - 1])};
    *pointer = START + used;
    used += (size + 511) / 256 * 256;
    return 0;
}
API Result cuMemFree_v2(uint64_t pointer) {
    Block *block = block_of(pointer);
    if (!block || !block->live || block->begin != pointer) return INVALID;
    block->live = 0;
    memset((void *)pointer, 0xEE, block->size < 1 << 16 ? block->size : 1 << 16);
    return 0;
}
API Result cuMemGetInfo_v2(size_t *left, size_t *total) { *total = WHOLE; *left = WHOLE - used; return 0; }
API Result cuMemcpyHtoD_v2(uint64_t to, const void *from, size_t size) {
    if (!driver_is_live(to, size)) return INVALID;
    memcpy((void *)to, from, size);
    return 0;
}
API Result cuMemcpyDtoH_v2(void *to, uint64_t from, size_t size) {
    if (!driver_is_live(from, size)) return INVALID;
    memcpy(to, (void *)from, size);
    return 0;
}
API Result cuMemcpyHtoDAsync_v2(uint64_t to, const void *from, size_t size, Handle stream) {
    return cuMemcpyHtoD_v2(to, from, size);
}
API Result cuMemcpyDtoHAsync_v2(void *to, uint64_t from, size_t size, Handle stream) {
    return cuMemcpyDtoH_v2(to, from, size);
}
API Result cuPointerGetAttribute(void *value, int attribute, uint64_t pointer) {
    Block *block = block_of(pointer);
    if (!block) return INVALID;
    if (attribute == 1) *(Handle *)value = context_of(block->device);
    else if (attribute == 2) *(unsigned *)value = 2;
    else if (attribute == 9) *(int *)value = block->device;
    else *(uint64_t *)value = pointer;
    return 0;
}

/* ---------------------------------------------------------------- code: a kernel's handle is its name */
API Result cuLibraryLoadData(Handle *library, const void *code, void *a, void *b, unsigned n, void *c, void *d, unsigned m) {
    *library = (Handle)code;
    return 0;
}
API Result cuLibraryGetKernel(Handle *kernel, Handle library, const char *name) { *kernel = strdup(name); return 0; }
API Result cuLibraryGetModule(Handle *module, Handle library) { *module = library; return 0; }
API Result cuLibraryUnload(Handle library) { return 0; }
API Result cuModuleLoadDataEx(Handle *module, const void *image, unsigned n, void *o, void *v) { *module = (Handle)image; return 0; }
API Result cuModuleLoadData(Handle *module, const void *image) { *module = (Handle)image; return 0; }
API Result cuModuleGetFunction(Handle *function, Handle module, const char *name) { *function = strdup(name); return 0; }
API Result cuModuleGetGlobal_v2(uint64_t *p, size_t *size, Handle module, const char *name) { return NOT_FOUND; }
API Result cuModuleUnload(Handle module) { return 0; }
API Result cuKernelGetFunction(Handle *function, Handle kernel) { *function = kernel; return 0; }
API Result cuKernelGetLibrary(Handle *library, Handle kernel) { *library = (Handle)0x2000; return 0; }
API Result cuFuncGetAttribute(int *value, int attribute, Handle function) {
    *value = attribute == 0 ? 1024 : attribute == 4 ? 128 : 0;
    return 0;
}
API Result cuKernelGetAttribute(int *value, int attribute, Handle kernel, int device) {
    return cuFuncGetAttribute(value, attribute, kernel);
}
API Result cuFuncSetAttribute(Handle function, int attribute, int value) { return 0; }
API Result cuOccupancyMaxActiveBlocksPerMultiprocessor(int *n, Handle f, int b, size_t d) { *n = 1; return 0; }
API Result cuOccupancyMaxActiveBlocksPerMultiprocessorWithFlags(int *n, Handle f, int b, size_t d, unsigned flags) { *n = 1; return 0; }

/* ---------------------------------------------------------------- launches */
typedef int (*Launch)(const char *name, unsigned gx, unsigned gy, unsigned gz, unsigned bx, unsigned by, unsigned bz,
                      unsigned shared, int cooperative, uint64_t stream, void **parameters);
static Launch on_launch;
API void driver_on_launch(Launch function) { on_launch = function; }
static Result launch(Handle f, unsigned gx, unsigned gy, unsigned gz, unsigned bx, unsigned by, unsigned bz, unsigned shared,
                     int cooperative, Handle stream, void **parameters) {
    if (!top) return NO_CONTEXT;
    if (!gx || !gy || !gz || !bx || !by || !bz) return INVALID;
    if (gx > 2147483647u || gy > 65535 || gz > 65535 || bx * by * bz > 1024 || bz > 64 || shared > 232448) return INVALID;
    if (cooperative && gx * gy * gz > 1) return 720; /* too large: one block a multiprocessor, one multiprocessor */
    return on_launch && on_launch(f, gx, gy, gz, bx, by, bz, shared, cooperative, (uint64_t)stream, parameters) ? FAILED : 0;
}
API Result cuLaunchKernel(Handle f, unsigned gx, unsigned gy, unsigned gz, unsigned bx, unsigned by, unsigned bz, unsigned s,
                          Handle stream, void **parameters, void **extra) {
    return launch(f, gx, gy, gz, bx, by, bz, s, 0, stream, parameters);
}
API Result cuLaunchCooperativeKernel(Handle f, unsigned gx, unsigned gy, unsigned gz, unsigned bx, unsigned by, unsigned bz,
                                     unsigned s, Handle stream, void **parameters) {
    return launch(f, gx, gy, gz, bx, by, bz, s, 1, stream, parameters);
}
typedef struct { int id; char rest[68]; } Attribute;
typedef struct { unsigned gx, gy, gz, bx, by, bz, shared; Handle stream; Attribute *attributes; unsigned count; } Configuration;
API Result cuLaunchKernelEx(const Configuration *c, Handle f, void **parameters, void **extra) {
    int cooperative = 0;
    for (unsigned k = 0; k < c->count; k++) {
        int set;
        memcpy(&set, c->attributes[k].rest + 4, sizeof set); /* the value begins at byte 8 */
        if (c->attributes[k].id == 2) cooperative = set;
    }
    return launch(f, c->gx, c->gy, c->gz, c->bx, c->by, c->bz, c->shared, cooperative, c->stream, parameters);
}
API Result cuStreamGetCtx(Handle stream, Handle *context) { *context = top ? stack[top - 1] : context_of(0); return 0; }
API Result cuStreamGetDevice(Handle stream, int *device) { *device = top ? device_of(stack[top - 1]) : 0; return 0; }
API Result cuStreamSynchronize(Handle stream) { return 0; }
API Result cuStreamIsCapturing(Handle stream, int *status) { *status = 0; return 0; }
API Result cuStreamCreate(Handle *stream, unsigned flags) { *stream = (Handle)0x4000; return 0; }
API Result cuStreamDestroy_v2(Handle stream) { return 0; }
API Result cuEventCreate(Handle *event, unsigned flags) { *event = (Handle)0x5000; return 0; }

/* ---------------------------------------------------------------- errors, and looking functions up by name */
API Result cuGetErrorName(int error, const char **name) {
    *name = error == OUT_OF_MEMORY ? "CUDA_ERROR_OUT_OF_MEMORY"
          : error == UNAVAILABLE   ? "CUDA_ERROR_DEVICES_UNAVAILABLE"
          : error == FAILED        ? "CUDA_ERROR_LAUNCH_FAILED"
                                   : "CUDA_ERROR_OF_TESTS";
    return 0;
}
API Result cuGetErrorString(int error, const char **text) { *text = "an error of the driver for tests"; return 0; }
static Result not_used(void) { return 0; }
API Result cuGetProcAddress_v2(const char *name, void **function, int version, uint64_t flags, int *status) {
    static const char *endings[] = {"_v3", "_v2", ""};
    char whole[256];
    void *own = dlopen("libcuda.so.1", RTLD_NOLOAD | RTLD_LAZY);
    *function = 0;
    for (int k = 0; k < 3 && !*function; k++) {
        snprintf(whole, sizeof whole, "%s%s", name, endings[k]);
        *function = dlsym(own ? own : RTLD_DEFAULT, whole);
    }
    if (!*function) *function = (void *)not_used;
    if (status) *status = 0;
    return 0;
}
API Result cuGetProcAddress(const char *name, void **function, int version, uint64_t flags) {
    return cuGetProcAddress_v2(name, function, version, flags, 0);
}
