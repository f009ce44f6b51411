#include "host.hpp"

#include <gnu/libc-version.h>
#include <sched.h>
#include <sys/utsname.h>
#include <unistd.h>

#include <array>
#include <cstdlib>
#include <fstream>
#include <set>
#include <sstream>

namespace probe {

static std::string stripped(const std::string& text) {
    const size_t first = text.find_first_not_of(" \t");
    return first == std::string::npos ? "" : text.substr(first, text.find_last_not_of(" \t") - first + 1);
}

// The processor's name (the machine's kind, if it has none) and its feature flags, sorted, from /proc/cpuinfo.
static std::pair<std::string, std::set<std::string>> processor(const std::string& machine) {
    std::string name = machine;
    std::set<std::string> features;
    std::ifstream listing("/proc/cpuinfo");
    for (std::string line; std::getline(listing, line);) {
        const size_t colon = line.find(':');
        const std::string key = stripped(line.substr(0, colon));
        const std::string value = colon == std::string::npos ? "" : stripped(line.substr(colon + 1));
        if ((key == "model name" || key == "Model") && !value.empty()) name = value;  // Arm boards have a Model alone
        if (key != "flags" && key != "Features") continue;                            // x86, Arm
        std::istringstream words(value);
        for (std::string word; words >> word;) features.insert(word);
    }
    return {name, features};
}

// Bytes that /proc/meminfo gives a name, `null` if it does not.
static Json memory(const std::string& wanted) {
    std::ifstream listing("/proc/meminfo");
    for (std::string line; std::getline(listing, line);) {
        const size_t colon = line.find(':');
        if (line.substr(0, colon) == wanted) return std::stoll(line.substr(colon + 1)) * 1024;
    }
    return nullptr;
}

static int usable_cores() {
    cpu_set_t set;
    CPU_ZERO(&set);
    return sched_getaffinity(0, sizeof set, &set) == 0 ? CPU_COUNT(&set) : 1;
}

Json load_average() {
    std::array<double, 3> load{};
    getloadavg(load.data(), 3);
    return load;
}

Json facts() {
    utsname system{};
    uname(&system);
    const auto [cpu, features] = processor(system.machine);
    return {
        {"cpu", cpu},
        {"features", features},
        {"cores", sysconf(_SC_NPROCESSORS_ONLN)},
        {"usable_cores", usable_cores()},
        {"memory_total", memory("MemTotal")},
        {"memory_available", memory("MemAvailable")},
        {"machine", system.machine},
        {"system", std::string(system.sysname) + " " + system.release},
        {"libc", std::string("glibc ") + gnu_get_libc_version()},
        {"python", ""},
        {"numpy", ""},
        {"load_average", load_average()},
    };
}

}  // namespace probe
