// The protocol's writing end: records are JSON objects, one a line, on the process's real standard output.
#pragma once

#include <nlohmann/json.hpp>
#include <string>

namespace probe {

using Json = nlohmann::ordered_json;  // fields are written in the order in which they are named

// The number of runtime_checks/probe/records.py, raised when a record or a job changes its meaning.
constexpr int PROTOCOL = 1;

// Prints records on the stdout the process was started with; everything else that prints goes to stderr.
class Records {
public:
    // Runtimes print from C++ as they like: file descriptor 1 is pointed at stderr; only the saved one carries records.
    Records();

    // Write one record of the named kind; `Failure` if a number in it is not finite, or if nobody can read it.
    void emit(const std::string& record, const Json& fields);

    // Say how far a step has come, in the step's own units.
    void progress(const std::string& step, long done, long of);

private:
    int out_;
};

}  // namespace probe
