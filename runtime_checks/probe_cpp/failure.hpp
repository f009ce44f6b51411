// What ends a job: the kind of error, by the name that the Python probe has for it, and one sentence.
#pragma once

#include <stdexcept>
#include <string>

namespace probe {

class Failure : public std::runtime_error {
public:
    Failure(std::string kind, const std::string& sentence) : std::runtime_error(sentence), kind_(std::move(kind)) {}

    const std::string& kind() const { return kind_; }

private:
    std::string kind_;
};

}  // namespace probe
