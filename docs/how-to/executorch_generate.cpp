// Greedy generation with a .pte of smolship on ExecuTorch's plain Module: token ids in, token ids out.
//
//     executorch_generate MODEL.PTE LIMIT ID...
//
// prints the ids that follow, at most LIMIT, up to the one that ends an answer, which is not printed.
// docs/how-to/executorch.md says how to compile it and where the ids come from.
#include <executorch/extension/module/module.h>
#include <executorch/extension/tensor/tensor.h>

#include <algorithm>
#include <cstdint>
#include <exception>
#include <iostream>
#include <stdexcept>
#include <string>
#include <vector>

using executorch::extension::from_blob;
using executorch::extension::Module;
using executorch::runtime::EValue;
using executorch::runtime::Result;
using executorch::aten::ScalarType;

class Generator {
public:
    // Mapped, not read: the pages of the weights stay the file's own.
    explicit Generator(const std::string& path) : module_(path, Module::LoadMode::Mmap) {
        chunk_ = call("get_max_seq_len").at(0).toInt();
        context_ = call("get_max_context_len").at(0).toInt();
        for (const EValue& id : call("get_eos_ids")) ends_.push_back(id.toInt());
    }

    // The ids that follow `prompt`. The cache is in the program: what is written at a position replaces what was there,
    // so a new prompt only has to begin at position 0.
    std::vector<int64_t> generate(const std::vector<int64_t>& prompt, size_t limit) {
        if (prompt.empty() || prompt.size() > static_cast<size_t>(context_))
            throw std::runtime_error("the file takes prompts of 1 to " + std::to_string(context_) + " tokens");
        int64_t position = 0;
        int64_t next = process(prompt, position);
        std::vector<int64_t> answer;
        while (answer.size() < limit && std::find(ends_.begin(), ends_.end(), next) == ends_.end()) {
            answer.push_back(next);
            if (position == context_) break;  // the cache is full
            next = process({next}, position);
        }
        return answer;
    }

private:
    // Put the tokens into the cache from `position` on, which moves behind them; the most likely token after the last.
    int64_t process(std::vector<int64_t> tokens, int64_t& position) {
        int64_t next = 0;
        for (size_t start = 0; start < tokens.size(); start += chunk_) {
            const int64_t count = std::min<int64_t>(chunk_, tokens.size() - start);
            auto ids = from_blob(tokens.data() + start, {1, static_cast<int>(count)}, ScalarType::Long);
            auto first = from_blob(&position, {1}, ScalarType::Long);
            const auto logits = call("forward", {ids, first}).at(0).toTensor();  // of the last token: [1, vocabulary]
            const float* values = logits.const_data_ptr<float>();
            next = std::max_element(values, values + logits.numel()) - values;
            position += count;
        }
        return next;
    }

    std::vector<EValue> call(const std::string& method, const std::vector<EValue>& inputs = {}) {
        Result<std::vector<EValue>> outputs = module_.execute(method, inputs);
        if (!outputs.ok()) throw std::runtime_error(method + ": " + executorch::runtime::to_string(outputs.error()));
        return outputs.get();
    }

    Module module_;
    int64_t chunk_ = 0, context_ = 0;
    std::vector<int64_t> ends_;
};

int main(int count, char** arguments) try {
    if (count < 4) throw std::runtime_error("usage: executorch_generate MODEL.PTE LIMIT ID...");
    std::vector<int64_t> prompt;
    for (int i = 3; i < count; ++i) prompt.push_back(std::stoll(arguments[i]));
    Generator generator(arguments[1]);
    for (int64_t id : generator.generate(prompt, std::stoull(arguments[2]))) std::cout << id << "\n";
    return 0;
} catch (const std::exception& error) {
    std::cerr << error.what() << "\n";
    return 1;
}
