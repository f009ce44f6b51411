// The steps a job can ask for, after the model is loaded.
#pragma once

#include <map>
#include <string>

#include "model.hpp"
#include "records.hpp"

namespace probe {

using Step = void (*)(Model&, Records&, const Json&);

// By the name a job uses; a step `memory`, which ends the sampling, belongs to main.cpp.
const std::map<std::string, Step>& steps();

}  // namespace probe
