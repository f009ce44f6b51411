#include "model.hpp"

#include <algorithm>
#include <array>

#include "failure.hpp"

namespace probe {

namespace et = executorch::runtime;
using executorch::aten::ScalarType;
using executorch::aten::Tensor;
using executorch::aten::TensorImpl;

constexpr const char* MODEL_FILE = "model.pte";

int64_t Logits::argmax() const {
    return std::max_element(values, values + count) - values;
}

static Program loaded(const std::string& artefact, uint32_t threads) {
    use_threads(threads);  // before anything that uses them
    return Program(artefact + "/" + MODEL_FILE);
}

Model::Model(const std::string& artefact, int64_t context, uint32_t threads)
    : program_(loaded(artefact, threads)),
      capacity_(program_.constant("get_max_context_len")),
      chunk_(static_cast<size_t>(program_.constant("get_max_seq_len"))),
      forward_(program_.method("forward")) {
    if (context > capacity_)
        throw Failure("ValueError", std::string(MODEL_FILE) + " was built for a context of " + std::to_string(capacity_)
                                        + " tokens, and " + std::to_string(context) + " were asked for");
    decode(0);  // the delegates pack their weights when the method is loaded, and their memory grows at its first call
}

Logits Model::prefill(const Tokens& tokens) {
    past_ = 0;
    return process(tokens.data(), tokens.size());
}

Logits Model::decode(int64_t token) {
    return process(&token, 1);
}

void Model::window(const Tokens& tokens, const std::function<void(const Logits&)>& row) {
    past_ = 0;
    for (const int64_t token : tokens) row(decode(token));  // a call answers with the logits of its last token only
}

// The tokens after those already in the cache, as many at once as the program takes.
Logits Model::process(const int64_t* tokens, size_t count) {
    if (count == 0) throw Failure("ValueError", "ExecuTorch needs at least one token");
    const int64_t end = past_ + static_cast<int64_t>(count);
    if (end > capacity_)  // the runtime's own error is that of an argument
        throw Failure("RuntimeError", std::to_string(end) + " tokens are more than the context of "
                                          + std::to_string(capacity_));
    Logits last{};
    for (size_t start = 0; start < count; start += chunk_) {
        const size_t length = std::min(chunk_, count - start);
        last = forward(tokens + start, length);
        past_ += static_cast<int64_t>(length);
    }
    return last;
}

Logits Model::forward(const int64_t* tokens, size_t count) {
    std::array<int32_t, 2> shape = {1, static_cast<int32_t>(count)};
    std::array<int32_t, 2> strides = {static_cast<int32_t>(count), 1};
    std::array<uint8_t, 2> order = {0, 1};
    int32_t one = 1;
    TensorImpl ids(ScalarType::Long, 2, shape.data(), const_cast<int64_t*>(tokens), order.data(), strides.data());
    TensorImpl position(ScalarType::Long, 1, &one, &past_, order.data(), &one);
    const Tensor logits = forward_.run({et::EValue(Tensor(&ids)), et::EValue(Tensor(&position))}).toTensor();
    if (logits.scalar_type() != ScalarType::Float)
        throw Failure("RuntimeError", "the program's logits are not float32");
    const size_t vocabulary = static_cast<size_t>(logits.size(logits.dim() - 1));
    return {logits.const_data_ptr<float>(), vocabulary};
}

}  // namespace probe
