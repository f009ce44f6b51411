// Next-token distributions in few numbers: the log-probabilities of chosen tokens, and of all the others as one.
#pragma once

#include "model.hpp"
#include "records.hpp"

namespace probe {

// Run a `likelihoods` step: `windows` of tokens, and for every position of each the `ids` that are asked about.
//
// A record a window: the most likely id of each position, log-probabilities (nats) in the order of the ids, and the
// logarithm of what is left for all other ids, `null` if that is nothing.
void measure_likelihoods(Model& model, Records& records, const Json& step);

}  // namespace probe
