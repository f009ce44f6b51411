// Memory of this process in bytes, as Linux counts it (proc_pid_status(5)).
#pragma once

#include <atomic>
#include <thread>

#include "records.hpp"

namespace probe {

struct Memory {
    long peak = 0, rss = 0, anon = 0, file = 0, shared = 0;
};

Memory read_memory();

Json described(const Memory& memory);

// Looks at the resident memory every 10 ms and keeps the largest sample with its parts.
//
// The kernel keeps a peak of the sum only: how much of it is anonymous and how much file-backed is known at samples.
class Sampler {
public:
    Sampler();
    ~Sampler();

    // End sampling; the largest sample with its parts, the most anonymous memory seen, the true peak.
    Json stop();

private:
    void watch();

    Memory largest_;
    long most_anon_;
    long count_ = 0;
    std::atomic<bool> ended_{false};
    std::thread watcher_;
};

}  // namespace probe
