// A loaded artefact with one sequence's KV cache: what `backend_executorch.py` is to the Python probe.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <string>
#include <vector>

#include "program.hpp"

namespace probe {

using Tokens = std::vector<int64_t>;

// float32 [vocab], one position's, in the runtime's memory: valid until the model is asked again.
struct Logits {
    const float* values;
    size_t count;

    int64_t argmax() const;
};

class Model {
public:
    // `Failure` if the model's file cannot be loaded, or was built for a shorter context.
    Model(const std::string& artefact, int64_t context, uint32_t threads);

    std::map<std::string, std::string> versions() const { return {{"executorch", EXECUTORCH_VERSION}}; }

    // Forget everything, process the tokens from position 0; logits of the last one.
    Logits prefill(const Tokens& tokens);

    // Process one more token with the KV cache.
    Logits decode(int64_t token);

    // Process from position 0; gives `row` the logits of every position in order.
    void window(const Tokens& tokens, const std::function<void(const Logits&)>& row);

private:
    Logits process(const int64_t* tokens, size_t count);
    Logits forward(const int64_t* tokens, size_t count);

    Program program_;
    int64_t capacity_;
    size_t chunk_;
    Method forward_;
    int64_t past_ = 0;
};

}  // namespace probe
