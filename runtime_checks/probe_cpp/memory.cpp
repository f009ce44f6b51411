#include "memory.hpp"

#include <algorithm>
#include <chrono>
#include <fstream>
#include <string>

namespace probe {

constexpr std::chrono::milliseconds INTERVAL{10};

Memory read_memory() {
    Memory found;
    const std::pair<const char*, long*> fields[] = {
        {"VmHWM:", &found.peak},    {"VmRSS:", &found.rss},      {"RssAnon:", &found.anon},
        {"RssFile:", &found.file}, {"RssShmem:", &found.shared},
    };
    std::ifstream status("/proc/self/status");
    for (std::string line; std::getline(status, line);)
        for (const auto& [name, value] : fields)
            if (line.rfind(name, 0) == 0) *value = std::stol(line.substr(std::string(name).size())) * 1024;
    return found;
}

Json described(const Memory& memory) {
    return {
        {"peak", memory.peak}, {"rss", memory.rss},       {"anon", memory.anon},
        {"file", memory.file}, {"shared", memory.shared},
    };
}

Sampler::Sampler() : largest_(read_memory()), most_anon_(largest_.anon), watcher_([this] { watch(); }) {}

Sampler::~Sampler() {
    ended_ = true;
    if (watcher_.joinable()) watcher_.join();
}

void Sampler::watch() {
    while (!ended_) {
        std::this_thread::sleep_for(INTERVAL);
        const Memory now = read_memory();
        ++count_;
        most_anon_ = std::max(most_anon_, now.anon);
        if (now.rss > largest_.rss) largest_ = now;
    }
}

Json Sampler::stop() {
    ended_ = true;
    if (watcher_.joinable()) watcher_.join();
    return {
        {"sampled_rss", largest_.rss},
        {"anon", largest_.anon},
        {"file", largest_.file},
        {"shared", largest_.shared},
        {"most_anon", most_anon_},
        {"samples", count_},
        {"peak", read_memory().peak},
    };
}

}  // namespace probe
