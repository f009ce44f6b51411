// Facts of the machine that the probe runs on, so that a figure is never read without them.
#pragma once

#include "records.hpp"

namespace probe {

// The same keys as in runtime_checks/probe/host.py; `python` and `numpy` are empty, for there is none here.
Json facts();

// Runnable processes, averaged over 1, 5 and 15 minutes.
Json load_average();

}  // namespace probe
