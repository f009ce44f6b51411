#include "likelihoods.hpp"

#include <cmath>
#include <cstdio>
#include <cstdlib>

#include "clock.hpp"
#include "failure.hpp"

namespace probe {

// To six digits, as the Python probe: the decimal that is nearest to the number itself, not to a multiple of it.
static double rounded(double value) {
    char text[64];
    std::snprintf(text, sizeof text, "%.6f", value);
    return std::strtod(text, nullptr);
}

namespace {

struct Likelihoods {
    std::vector<double> asked;
    Json tail = nullptr;
};

}  // namespace

// Log-probabilities of `ids`, in float64; the logarithm of the others' sum.
static Likelihoods likelihoods(const Logits& row, const Tokens& ids) {
    const double largest = row.values[row.argmax()];
    std::vector<double> weights(row.count);
    double sum = 0;
    for (size_t id = 0; id < row.count; ++id) {
        if (!std::isfinite(row.values[id]))
            throw Failure("FloatingPointError", "the runtime gave logits that are not finite");
        weights[id] = std::exp(row.values[id] - largest);
        sum += weights[id];
    }
    const double total = std::log(sum);
    Likelihoods found;
    for (const int64_t id : ids) {
        if (id < 0 || id >= static_cast<int64_t>(row.count))
            throw Failure("IndexError", "there is no token " + std::to_string(id) + " among "
                                            + std::to_string(row.count));
        found.asked.push_back(rounded(row.values[id] - largest - total));
        weights[static_cast<size_t>(id)] = 0;
    }
    double rest = 0;
    for (const double weight : weights) rest += weight;
    if (rest > 0) found.tail = rounded(std::log(rest) - total);
    return found;
}

void measure_likelihoods(Model& model, Records& records, const Json& step) {
    const std::vector<Tokens> windows = step.at("windows");
    const std::vector<std::vector<Tokens>> ids = step.at("ids");
    if (windows.size() != ids.size()) throw Failure("ValueError", "as many windows as lists of ids are wanted");
    for (size_t index = 0; index < windows.size(); ++index) {
        if (windows[index].size() != ids[index].size())
            throw Failure("ValueError", "a window of " + std::to_string(windows[index].size()) + " tokens has ids for "
                                            + std::to_string(ids[index].size()));
        Tokens top;
        Json asked = Json::array(), tails = Json::array();
        const double start = now();
        model.window(windows[index], [&](const Logits& row) {
            Likelihoods found = likelihoods(row, ids[index][top.size()]);
            top.push_back(row.argmax());
            asked.push_back(std::move(found.asked));
            tails.push_back(std::move(found.tail));
        });
        records.emit("likelihoods", {{"window", index},
                                     {"top1", top},
                                     {"log_probabilities", asked},
                                     {"tail", tails},
                                     {"seconds", now() - start}});
    }
}

}  // namespace probe
