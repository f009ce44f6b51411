/* What loading a model costs an app: seconds, and MB of memory, private and of mapped files.

   LIB=.venv/lib/python3.11/site-packages/onnxruntime/capi/libonnxruntime.so.1.32.0
   gcc -O1 benchmarks/ort_memory.c -I HEADERS $LIB -Wl,-rpath,$(dirname $LIB) -o build/ort_memory
   build/ort_memory FILE [path | mapped]

   HEADERS is the folder of onnxruntime_c_api.h, which ONNX Runtime's releases and its Android package have. `mapped`
   gives the session the mapped bytes of a model.ort, to be used where they lie. */

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>

#include "onnxruntime_c_api.h"

static const OrtApi *api;

static void check(OrtStatus *status) {
    if (status) {
        fprintf(stderr, "%s\n", api->GetErrorMessage(status));
        exit(1);
    }
}

static double now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec + t.tv_nsec * 1e-9;
}

static OrtSession *load(OrtEnv *env, const char *path, int mapped) {
    OrtSessionOptions *options;
    OrtSession *session;
    check(api->CreateSessionOptions(&options));
    check(api->SetIntraOpNumThreads(options, 2));
    if (!mapped) {
        check(api->CreateSession(env, path, options, &session));
        return session;
    }
    check(api->AddSessionConfigEntry(options, "session.use_ort_model_bytes_directly", "1"));
    check(api->AddSessionConfigEntry(options, "session.use_ort_model_bytes_for_initializers", "1"));
    struct stat about;
    int file = open(path, O_RDONLY);
    if (file < 0 || fstat(file, &about)) exit(2);
    void *bytes = mmap(0, about.st_size, PROT_READ, MAP_PRIVATE, file, 0);
    check(api->CreateSessionFromArray(env, bytes, about.st_size, options, &session));
    return session;
}

int main(int count, char **arguments) {
    if (count != 3) return 2;
    api = OrtGetApiBase()->GetApi(20);
    OrtEnv *env;
    check(api->CreateEnv(ORT_LOGGING_LEVEL_ERROR, "memory", &env));
    double start = now();
    OrtSession *session = load(env, arguments[1], !strcmp(arguments[2], "mapped"));
    printf("ONNX Runtime %s: %.2f s", OrtGetApiBase()->GetVersionString(), now() - start);
    char line[200];
    FILE *status = fopen("/proc/self/status", "r");
    while (fgets(line, sizeof line, status)) {
        long kb;
        char name[16];
        if (sscanf(line, "%15[^:]: %ld kB", name, &kb) == 2 &&
            (!strcmp(name, "VmHWM") || !strcmp(name, "RssAnon") || !strcmp(name, "RssFile")))
            printf(", %s %ld MB", name, kb / 1024);
    }
    printf("\n");
    api->ReleaseSession(session);
    return 0;
}
