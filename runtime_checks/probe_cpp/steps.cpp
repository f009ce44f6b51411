#include "steps.hpp"

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <set>
#include <thread>

#include "clock.hpp"
#include "failure.hpp"
#include "likelihoods.hpp"
#include "speed.hpp"

namespace probe {

// Greedy tokens after `tokens` until an id of `stop` or `max_new` of them: says which. The text is left to the reader.
static void generate(Model& model, Records& records, const Json& step) {
    const std::set<int64_t> stop = step.at("stop");
    const size_t most = step.at("max_new");
    Tokens made;
    const double start = now();
    int64_t token = model.prefill(step.at("tokens")).argmax();
    while (made.size() < most && !stop.count(token)) {
        made.push_back(token);
        token = model.decode(token).argmax();
    }
    const bool stopped = made.size() < most;
    records.emit("generated", {{"name", step.at("name")},
                               {"tokens", made},
                               {"text", nullptr},
                               {"stopped", stopped},
                               {"seconds", now() - start}});
}

static void tokenize(Model&, Records& records, const Json& step) {
    const char* reason = "this probe has no tokenizer: ExecuTorch's is not among the libraries of its package";
    records.emit("unsupported", {{"step", "tokenize"}, {"name", step.at("name")}, {"reason", reason}});
}

static void wait_for_reader(const std::vector<std::string>& written, size_t keep, double patience) {
    const double deadline = now() + patience;
    const auto exists = [](const std::string& path) { return std::filesystem::exists(path); };
    while (static_cast<size_t>(std::count_if(written.begin(), written.end(), exists)) >= keep) {
        if (now() > deadline)
            throw Failure("TimeoutError", "nobody took the logits away for "
                                              + std::to_string(static_cast<long>(patience)) + " s");
        std::this_thread::sleep_for(std::chrono::milliseconds(10));
    }
}

// Logits of every position of each of `windows`, one file a window: float32 rows, little endian.
//
// At most `keep` files lie there at a time: the next is begun when the reader has removed an older one.
static void windows(Model& model, Records& records, const Json& step) {
    static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "the files are little endian");
    std::vector<std::string> written;
    for (const Json& tokens : step.at("windows")) {
        wait_for_reader(written, step.at("keep"), step.at("patience"));
        const std::string path = "window-" + std::to_string(written.size()) + ".f32";
        size_t rows = 0, columns = 0;
        const double start = now();
        std::ofstream file(path, std::ios::binary);
        model.window(tokens, [&](const Logits& row) {
            ++rows, columns = row.count;
            file.write(reinterpret_cast<const char*>(row.values), static_cast<std::streamsize>(4 * row.count));
        });
        file.close();
        if (!file) throw Failure("OSError", "cannot write " + path);
        records.emit("logits", {{"window", written.size()},
                                {"file", path},
                                {"shape", {rows, columns}},
                                {"dtype", "<f4"},
                                {"seconds", now() - start}});
        written.push_back(path);
    }
}

const std::map<std::string, Step>& steps() {
    static const std::map<std::string, Step> all = {
        {"speed", measure_speed}, {"sustained", sustain},
        {"generate", generate},   {"tokenize", tokenize},
        {"windows", windows},     {"likelihoods", measure_likelihoods},
    };
    return all;
}

}  // namespace probe
