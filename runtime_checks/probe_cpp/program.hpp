// ExecuTorch's program and its methods: the one place that knows the runtime's C++ interface.
//
// Its libraries are built with GNU's C++ library, and the compiler that crosses from any machine (zig) brings LLVM's.
// So only that part of it is used which names no `std::` type in a symbol, and the runtime's own `Program`, which
// holds a std::optional and a std::variant, is made in place: never copied, moved, read or destroyed here. The sizes
// are the same under both libraries: program.cpp says so to the compiler, and a test compiles it with either.
#pragma once

#include <cstdint>
#include <initializer_list>
#include <memory>
#include <string>

#include <executorch/extension/data_loader/mmap_data_loader.h>
#include <executorch/runtime/executor/program.h>

namespace probe {

// Load the backend and the kernels, which register themselves; `Failure` says which library would not load.
void load_libraries();

// The threads that backend and kernels share, this one among them.
void use_threads(uint32_t count);

// One method with the memory that it runs in.
class Method {
public:
    Method(const executorch::runtime::Program& program, const std::string& name);
    ~Method();
    Method(const Method&) = delete;

    // Run it; its first output, valid until the next run. `Failure` names the method and the runtime's error.
    const executorch::runtime::EValue& run(std::initializer_list<executorch::runtime::EValue> inputs);

private:
    struct Memory;

    std::string name_;
    std::unique_ptr<Memory> memory_;
    std::unique_ptr<executorch::runtime::Result<executorch::runtime::Method>> method_;
};

// A .pte file, mapped into memory.
class Program {
public:
    // `Failure` if the file is not there or no program of this runtime.
    explicit Program(const std::string& path);

    Method method(const std::string& name) const { return Method(**program_, name); }

    // What a method without arguments gives: the exporter writes a model's figures so.
    int64_t constant(const std::string& name) const { return method(name).run({}).toInt(); }

private:
    executorch::runtime::Result<executorch::extension::MmapDataLoader>* loader_;  // both live as long as the process
    executorch::runtime::Result<executorch::runtime::Program>* program_;
};

}  // namespace probe
