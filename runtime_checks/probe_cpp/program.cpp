#include "program.hpp"

#include <dlfcn.h>

#include <executorch/extension/memory_allocator/malloc_memory_allocator.h>
#include <executorch/runtime/executor/method.h>
#include <executorch/runtime/platform/runtime.h>

#include <cerrno>
#include <cstring>
#include <fstream>
#include <vector>

#include "failure.hpp"

// The wheel has this library without its header, which wants pthreadpool's.
namespace executorch::extension::threadpool {
class ThreadPool {
public:
    bool _unsafe_reset_threadpool(uint32_t count);
};
ThreadPool* get_threadpool();
}  // namespace executorch::extension::threadpool

namespace probe {

namespace et = executorch::runtime;
using executorch::extension::MallocMemoryAllocator;
using executorch::extension::MmapDataLoader;

static_assert(sizeof(et::Program) == 152 && sizeof(et::Result<et::Program>) == 160, "as GNU's C++ library has them");
static_assert(sizeof(et::Method) == 160 && sizeof(et::Result<et::Method>) == 168, "as GNU's C++ library has them");
static_assert(sizeof(et::EValue) == 16 && sizeof(et::MemoryAllocator) == 40, "as GNU's C++ library has them");

constexpr const char* LIBRARIES[] = {
    "libexecutorch_kernels_optimized.so",
    "libexecutorch_kernels_quantized.so",
    "libexecutorch_backend_xnnpack.so",
};

static void require(et::Error error, const std::string& what) {
    if (error != et::Error::Ok) throw Failure("RuntimeError", what + ": " + et::to_string(error));
}

void load_libraries() {
    et::runtime_init();
    for (const char* name : LIBRARIES)
        if (!dlopen(name, RTLD_NOW | RTLD_GLOBAL)) throw Failure("ImportError", dlerror());
}

void use_threads(uint32_t count) {
    if (!executorch::extension::threadpool::get_threadpool()->_unsafe_reset_threadpool(count))
        throw Failure("RuntimeError", "ExecuTorch made no pool of " + std::to_string(count) + " threads");
}

// What the exporter planned, zeroed, and what the runtime asks for besides.
struct Method::Memory {
    explicit Memory(const et::MethodMeta& meta) {
        for (size_t index = 0; index < meta.num_memory_planned_buffers(); ++index)
            planned.emplace_back(static_cast<size_t>(meta.memory_planned_buffer_size(index).get()));
        for (std::vector<uint8_t>& each : planned) spans.emplace_back(each.data(), each.size());
        buffers = std::make_unique<et::HierarchicalAllocator>(et::Span<et::Span<uint8_t>>(spans.data(), spans.size()));
        manager = std::make_unique<et::MemoryManager>(&lasting, buffers.get(), &passing);
    }

    std::vector<std::vector<uint8_t>> planned;
    std::vector<et::Span<uint8_t>> spans;
    std::unique_ptr<et::HierarchicalAllocator> buffers;
    MallocMemoryAllocator lasting, passing;
    std::unique_ptr<et::MemoryManager> manager;
};

Method::Method(const et::Program& program, const std::string& name) : name_(name) {
    const et::Result<et::MethodMeta> meta = program.method_meta(name.c_str());
    require(meta.error(), "the program has no method " + name);
    memory_ = std::make_unique<Memory>(*meta);
    method_.reset(new et::Result<et::Method>(program.load_method(name.c_str(), memory_->manager.get())));
    require(method_->error(), "the method " + name + " did not load");
}

Method::~Method() = default;

const et::EValue& Method::run(std::initializer_list<et::EValue> inputs) {
    size_t index = 0;
    for (const et::EValue& each : inputs) {
        require((*method_)->set_input(each, index), "the method " + name_ + " refused input " + std::to_string(index));
        ++index;
    }
    require((*method_)->execute(), "the method " + name_ + " failed");
    return (*method_)->get_output(0);
}

Program::Program(const std::string& path) {
    if (!std::ifstream(path))  // the runtime's own error does not say why
        throw Failure("FileNotFoundError", "cannot open " + path + ": " + std::strerror(errno));
    loader_ = new et::Result<MmapDataLoader>(
        MmapDataLoader::from(path.c_str(), MmapDataLoader::MlockConfig::UseMlockIgnoreErrors));
    require(loader_->error(), "ExecuTorch did not map " + path);
    program_ = new et::Result<et::Program>(
        et::Program::load(&**loader_, et::Program::Verification::InternalConsistency));
    require(program_->error(), "ExecuTorch refused " + path);
}

}  // namespace probe
