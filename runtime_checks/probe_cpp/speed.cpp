#include "speed.hpp"

#include <algorithm>

#include "clock.hpp"
#include "failure.hpp"

namespace probe {

constexpr long WARM_TOKENS = 16;

namespace {

struct Measure {
    std::string name;
    long tokens;
    std::function<double()> seconds;
    Json warmup = nullptr;
    std::vector<double> found = {};
};

}  // namespace

static Tokens head(const Tokens& tokens, long length) {
    return Tokens(tokens.begin(), tokens.begin() + length);
}

// The first token is known when the logits are: `prefill` and `first_token` differ by an argmax.
static double prefill(Model& model, const Tokens& tokens, bool choose) {
    const double start = now();
    const Logits logits = model.prefill(tokens);
    volatile int64_t token = choose ? logits.argmax() : 0;  // volatile: it has to be computed, though nobody reads it
    (void)token;
    return now() - start;
}

// Seconds for `count` greedy tokens with the KV cache, the prompt's own time apart.
static double decode(Model& model, const Tokens& tokens, long count) {
    int64_t token = model.prefill(tokens).argmax();
    const double start = now();
    for (long index = 0; index < count; ++index) token = model.decode(token).argmax();
    return now() - start;
}

static std::vector<Measure> measures(Model& model, const Json& step) {
    const Tokens tokens = step.at("tokens");
    const std::vector<long> lengths = step.at("prefill");
    const long first = step.at("first"), count = step.at("decode");
    const long longest = std::max(first, lengths.empty() ? 0 : *std::max_element(lengths.begin(), lengths.end()));
    if (longest > static_cast<long>(tokens.size()))
        throw Failure("ValueError", "a speed step of " + std::to_string(longest) + " tokens was given only "
                                        + std::to_string(tokens.size()));
    std::vector<Measure> all;
    for (const long length : lengths) {
        const Tokens part = head(tokens, length);
        all.push_back({"prefill", length, [&model, part] { return prefill(model, part, false); }});
    }
    const Tokens prompt = head(tokens, first);
    all.push_back({"first_token", first, [&model, prompt] { return prefill(model, prompt, true); }});
    all.push_back({"decode", count, [&model, prompt, count] { return decode(model, prompt, count); }});
    Measure& first_token = all[all.size() - 2];
    first_token.warmup = first_token.seconds();  // cold: nothing ran before it
    decode(model, prompt, std::min(count, WARM_TOKENS));
    for (size_t index = 0; index < lengths.size(); ++index) all[index].warmup = all[index].seconds();
    return all;
}

void measure_speed(Model& model, Records& records, const Json& step) {
    std::vector<Measure> all = measures(model, step);
    const long repeats = step.at("repeats");
    for (long round = 0; round < repeats; ++round) {
        for (Measure& each : all) each.found.push_back(each.seconds());
        records.progress("speed", round + 1, repeats);
    }
    for (const Measure& each : all)
        records.emit("speed", {{"measure", each.name},
                               {"tokens", each.tokens},
                               {"seconds", each.found},
                               {"warmup_seconds", each.warmup}});
}

void sustain(Model& model, Records& records, const Json& step) {
    const Tokens prompt = step.at("tokens");
    const size_t room = step.at("room");
    const double seconds = step.at("seconds"), slice = step.at("slice");
    std::vector<double> rates;
    const double end = now() + seconds;
    long count = 0, total = 0;
    double spent = 0, total_spent = 0;
    size_t past = 0;
    int64_t token = 0;
    while (now() < end) {
        if (past == 0 || past == room) {
            past = prompt.size();
            token = model.prefill(prompt).argmax();
        }
        const double start = now();
        token = model.decode(token).argmax();
        spent += now() - start;
        ++past, ++count;
        if (spent >= slice) {
            rates.push_back(static_cast<double>(count) / spent);
            total += count, total_spent += spent;
            count = 0, spent = 0;
            records.progress("sustained", static_cast<long>(rates.size()), static_cast<long>(seconds / slice));
        }
    }
    records.emit("sustained", {{"tokens", total + count}, {"seconds", total_spent + spent}, {"rates", rates}});
}

}  // namespace probe
