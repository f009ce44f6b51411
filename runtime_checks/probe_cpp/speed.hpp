// Speed: warm-up apart, then repeats of prefill, first token and greedy decode; every repeat's seconds are recorded.
// Then, where a job asks for it, decoding without a pause: what is left of the speed when the processor is hot.
#pragma once

#include "model.hpp"
#include "records.hpp"

namespace probe {

// Run a `speed` step: `tokens`, `prefill` (lengths), `first` (length), `decode` (tokens), `repeats`.
//
// The rounds are interleaved, so that a machine that slows down does so for every measure alike.
void measure_speed(Model& model, Records& records, const Json& step);

// Run a `sustained` step: decode for `seconds` after the prompt `tokens`, a rate for each `slice` seconds.
//
// At `room` tokens, what the artefact's context holds, it begins again with the prompt, whose time counts as time
// under load and in no rate.
void sustain(Model& model, Records& records, const Json& step);

}  // namespace probe
